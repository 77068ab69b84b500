"""Who else is at work: tracers and counters see PyTorch's own operations only, hooks only calls of modules."""

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.utils._python_dispatch import _get_current_dispatch_mode


def is_traced(x: Tensor) -> bool:
    """Whether a compiler, tracer, transform or graph capture runs the code, or `x` stands in for a tensor."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or type(x) is not Tensor:
        return True
    return _is_transformed() or (x.is_cuda and torch.cuda.is_current_stream_capturing())


def _is_transformed() -> bool:
    """Whether `torch.func`, forward-mode derivatives or `make_fx` are at work."""
    in_functorch = torch._C._functorch.peek_interpreter_stack() is not None
    return in_functorch or is_derived_forwards() or get_proxy_mode() is not None


def is_derived_forwards() -> bool:
    """Whether forward-mode derivatives are taken, which PyTorch's fused kernels do not have."""
    return forward_ad._current_level >= 0


def is_watched() -> bool:
    """Whether a dispatch mode, a FLOP counter say, sees operations of this thread: it sees no other thread's."""
    return _get_current_dispatch_mode() is not None


def is_hooked(module: nn.Module) -> bool:
    """Whether a hook of its own, or another `forward`, waits for the module's call."""
    forwards = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    return bool(forwards or module._backward_hooks or module._backward_pre_hooks)


def is_plain_linear(module: nn.Module) -> bool:
    """Whether weight and bias say all: nothing took the module's place, and nothing waits for its call."""
    if type(module) is not nn.Linear or is_hooked(module):
        return False
    return type(module.weight) is nn.Parameter and type(module.bias) is nn.Parameter
