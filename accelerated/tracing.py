"""Who else is at work: tracers and counters see PyTorch's own operations only, hooks only calls of modules.

What PyTorch does not promise stands in this file alone. Where one of its names is gone, the answer is that
somebody may be at work, and the plain way is taken.
"""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

PRIVATE = {
    "torch._C._functorch.peek_interpreter_stack": "2.9 to 2.13",
    "torch.autograd.forward_ad._current_level": "2.9 to 2.13",
    "torch.fx.experimental.proxy_tensor.get_proxy_mode": "2.9 to 2.13",
    "torch.utils._python_dispatch._get_current_dispatch_mode": "2.9 to 2.13",
    "torch.nn.modules.module._has_any_global_hook": "2.9 to 2.13",
    "torch._fused_sdp_choice": "2.9 to 2.13",
}
"""Names that PyTorch does not promise, and the versions that have them."""

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""Where a module of PyTorch 2.9 to 2.13 keeps its hooks."""


def is_traced(*tensors: Tensor) -> bool:
    """Whether a compiler, tracer, transform or graph capture runs the code, or one stands in for a tensor."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or any(type(x) is not Tensor for x in tensors):
        return True
    return _is_transformed() or (any(x.is_cuda for x in tensors) and torch.cuda.is_current_stream_capturing())


def _is_transformed() -> bool:
    """Whether `torch.func`, forward-mode derivatives or `make_fx` are at work."""
    in_functorch = _finds("torch._C._functorch.peek_interpreter_stack")
    return in_functorch or is_derived_forwards() or _finds("torch.fx.experimental.proxy_tensor.get_proxy_mode")


def refuse_torchscripts_export() -> None:
    """Raise `RuntimeError` in ONNX's exporter by TorchScript, which keeps the number of rotated keys for good."""
    if torch.jit.is_tracing() and torch.onnx.is_in_onnx_export():
        raise RuntimeError(
            "torch.onnx.export(dynamo=False) would write the number of rotated keys down as a constant, and give "
            "wrong values for memories of another length: use torch.onnx.export(dynamo=True) or torch.export"
        )


def is_derived_forwards() -> bool:
    """Whether forward-mode derivatives are taken, which PyTorch's fused kernels do not have."""
    level = _private("torch.autograd.forward_ad._current_level")
    return level is None or level >= 0


def is_watched() -> bool:
    """Whether a dispatch mode, a FLOP counter say, sees operations of this thread: it sees no other thread's."""
    return _finds("torch.utils._python_dispatch._get_current_dispatch_mode")


def is_autocast(device: torch.device) -> bool:
    """Whether autocast brings dtypes together there; some devices have none."""
    # The compiler of PyTorch 2.9 cannot ask what is available.
    known = device.type in ("cpu", "cuda") or torch.amp.is_autocast_available(device.type)
    return known and torch.is_autocast_enabled(device.type)


def is_hooked(*modules: nn.Module) -> bool:
    """Whether a hook waits for the call of one of these modules, or of any, or one has another `forward`."""
    ask = _private("torch.nn.modules.module._has_any_global_hook")
    return ask is None or bool(ask()) or any(map(_is_hooked, modules))


def _is_hooked(module: nn.Module) -> bool:
    own = vars(module)
    return "forward" in own or any(own.get(name, True) for name in HOOKS)


def is_plain_linear(module: nn.Module) -> bool:
    """Whether weight and bias say all: nothing took the module's place, and nothing waits for its call."""
    if type(module) is not nn.Linear or _is_hooked(module):
        return False
    return type(module.weight) is nn.Parameter and type(module.bias) is nn.Parameter


def fused_choice() -> Callable[..., int] | None:
    """How PyTorch picks one of its attention kernels; none where it no longer says."""
    return _private("torch._fused_sdp_choice")


def _finds(name: str) -> bool:
    """Whether a question of PyTorch's finds something; where the question is gone, it may."""
    ask = _private(name)
    return ask is None or ask() is not None


def _private(name: str) -> Any:
    """What stands under one of the names of `PRIVATE` now, or none where it is gone."""
    return getattr(_OWNERS[name], name.rpartition(".")[2], None)


def _owner(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name.rpartition(".")[0])
    except ImportError:
        return None


_OWNERS = {name: _owner(name) for name in PRIVATE}
