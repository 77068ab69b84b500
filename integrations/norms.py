"""Layer norms that ours are the same as."""

from torch import nn

from ..accelerated import LayerNorm
from ..accelerated.tracing import is_hooked
from .twins import Part

EPS = 1e-5


def norms(module: nn.Module) -> dict[nn.Module, Part]:
    """Our class for each of PyTorch's layer norms in a module; one with hooks or other settings stays."""
    return {part: Part(LayerNorm) for part in module.modules() if _is_ours(part) and not is_hooked(part)}


def _is_ours(part: nn.Module) -> bool:
    return type(part) is nn.LayerNorm and part.eps == EPS and part.weight is not None and part.bias is not None
