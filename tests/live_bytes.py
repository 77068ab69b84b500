"""Counts the bytes of tensors that are alive at once, by watching every operation of PyTorch in this thread."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """`peak` and `largest`: the most bytes alive at once, and in one tensor, of those made under this mode."""

    def __init__(self, *known: torch.Tensor) -> None:
        super().__init__()
        self.alive = self.peak = self.largest = 0
        self.known = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._watch(tensor.untyped_storage())
        return result

    def _watch(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self.known:
            return
        self.known.add(storage._cdata)
        self.alive += storage.nbytes()
        self.peak, self.largest = max(self.peak, self.alive), max(self.largest, storage.nbytes())
        weakref.finalize(storage, self._drop, storage._cdata, storage.nbytes())

    def _drop(self, cdata: int, nbytes: int) -> None:
        self.known.discard(cdata)
        self.alive -= nbytes
