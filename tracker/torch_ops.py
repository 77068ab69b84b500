"""The twin of `numpy_ops`, in PyTorch: the same operations, with gradients."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..accelerated.norm import layer_norm

__all__ = ["array", "conv3x3", "expand", "inference", "layer_norm", "linear", "relu", "repeat", "sigmoid"]

linear = F.linear
relu = torch.relu
sigmoid = torch.sigmoid
inference = torch.no_grad


def array(values: Any, device: torch.device) -> Tensor:
    """The values as a tensor on the device, in memory of its own."""
    return torch.tensor(values, device=device)


def conv3x3(x: Float[Tensor, "B h w I"], weight: Float[Tensor, "O I 3 3"], bias: Float[Tensor, " O"]) -> Any:
    """Every cell with its eight neighbours, zeros outside the grid: [B,h,w,O].

    The axes are only renamed: PyTorch calls arrays that lie like this channels-last.
    """
    return F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=1).permute(0, 2, 3, 1)


def expand(x: Float[Tensor, "..."], shape: tuple[int, ...]) -> Tensor:
    """Repeat the axes of length one to that shape, without copying."""
    return x.expand(shape)


def repeat(x: Float[Tensor, "V *rest"], times: int) -> Float[Tensor, "K *rest"]:
    """Every entry of the first axis so many times: once for each object of a video."""
    return x if times == 1 else x.repeat_interleave(times, dim=0)
