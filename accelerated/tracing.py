"""Whether somebody records the operations, so that only PyTorch's own, without threads or caches, will do."""

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode


def is_traced(x: Tensor) -> bool:
    """Whether a compiler, an exporter or a tracer runs the code on `x`, or `x` is a stand-in for a tensor."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing() or type(x) is not Tensor


def is_watched() -> bool:
    """Whether operations of this thread are counted or changed, by a FLOP counter say: other threads' are not."""
    return _get_current_dispatch_mode() is not None
