"""The PyTorch twin as a backend."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from ..accelerated import MemoryAttention
from ..configs import Config
from ..rules.record import Record
from ..weights import PREFIX
from .protocol import Network


def build(config: Config, weights: Mapping[str, np.ndarray], device: str | None, dtype: str) -> Network:
    """Build the PyTorch network in eval mode; without a device, on the GPU if there is one."""
    return TorchNetwork(config, weights, find_device(device), getattr(torch, dtype))


def find_device(device: str | None) -> torch.device:
    """The device of that name, else CUDA if it is there, else the CPU. Raises `ValueError` if it is absent."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"device is {device!r}, expected 'cpu' or 'cuda'") from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, but PyTorch sees no CUDA device on this machine")
    try:
        torch.zeros(1, device=found).cpu()
    # What a device that is not there raises is each device's own: `ModuleNotFoundError` for hpu.
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0]
        raise ValueError(f"device is {device!r}, which PyTorch cannot use on this machine ({reason})") from None
    return found


class TorchNetwork:
    """The `nn.Module` behind NumPy arrays: NumPy in, NumPy out; tensors in, tensors out, with gradients."""

    def __init__(
        self, config: Config, weights: Mapping[str, np.ndarray], device: torch.device, dtype: torch.dtype
    ) -> None:
        self.device, self.dtype = device, dtype
        # bfloat16, which NumPy lacks, is rounded from float32.
        self.numpy_dtype = np.dtype("float32" if dtype == torch.bfloat16 else str(dtype).removeprefix("torch."))
        self.module = MemoryAttention.from_config(config.memory_attention).to(device, dtype).eval()
        self.call: Callable[..., Any] = self.module
        own = {name.removeprefix(PREFIX): w for name, w in weights.items() if name.startswith(PREFIX)}
        self.module.load_state_dict({name: torch.from_numpy(w.copy()) for name, w in own.items()})

    @property
    def brings_dtypes_together(self) -> bool:
        """Whether inputs of several dtypes may come: under autocast, as the module itself takes them."""
        return torch.is_autocast_enabled(self.device.type)

    def tune(self, kernel: str | None, compiled: bool) -> None:
        """Force an attention kernel, or compile the network; on a GPU with CUDA graphs."""
        self.module.use_kernel(kernel)
        if compiled:
            self.call = compile_for(self.device, self.module)

    def __call__(
        self,
        curr: Any,
        memory: Any,
        curr_pos: Any,
        memory_pos: Any,
        num_obj_ptr_tokens: int,
        grid: tuple[int, int] | None,
        record: Record | None,
    ) -> Any:
        arrays = (curr, memory, curr_pos, memory_pos)
        inputs = [None if array is None else self._to_tensor(array) for array in arrays]
        if isinstance(curr, torch.Tensor):
            return self._run(inputs, num_obj_ptr_tokens, grid, record).to(curr.device)
        with torch.inference_mode():
            return to_numpy(self._run(inputs, num_obj_ptr_tokens, grid, record))

    def _run(
        self,
        inputs: list[torch.Tensor | None],
        num_obj_ptr_tokens: int,
        grid: tuple[int, int] | None,
        record: Record | None,
    ) -> torch.Tensor:
        if record is not None:
            return self.module(*inputs, num_obj_ptr_tokens, grid, _in_numpy(record))
        if self.call is self.module:
            return self.module(*inputs, num_obj_ptr_tokens, grid)
        torch.compiler.cudagraph_mark_step_begin()
        result = self.call(*inputs, num_obj_ptr_tokens, grid)
        # The next call of a CUDA graph overwrites what this one returned.
        return result.clone() if result.is_cuda else result

    def _to_tensor(self, array: Any) -> torch.Tensor:
        if isinstance(array, torch.Tensor):
            return array.to(self.device, self.dtype)
        # NumPy arrays may be read-only, big-endian, wider, or have negative strides, which tensors cannot.
        with np.errstate(over="ignore"):
            return torch.from_numpy(np.array(array, self.numpy_dtype, order="C")).to(self.device, self.dtype)


def compile_for(device: torch.device, module: torch.nn.Module) -> Callable[..., Any]:
    """The module through `torch.compile`, on a GPU as CUDA graphs."""
    return torch.compile(module, mode="reduce-overhead" if device.type == "cuda" else None)


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as an array: bfloat16, which NumPy lacks, as float32."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _in_numpy(record: Record) -> Record:
    def listen(name: str, value: torch.Tensor) -> torch.Tensor:
        record(name, to_numpy(value))
        return value

    return listen
