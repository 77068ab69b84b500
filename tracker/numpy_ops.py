"""The few operations that the tracker's own networks are made of, in NumPy."""

from contextlib import nullcontext as inference
from typing import Any

import numpy as np
from jaxtyping import Float

from ..reference.norm import layer_norm

__all__ = ["array", "conv3x3", "expand", "inference", "layer_norm", "linear", "relu", "repeat", "sigmoid"]

Array = np.ndarray


def array(values: Any, device: None = None) -> Array:
    """The values as an array; NumPy knows no devices."""
    return np.asarray(values)


def linear(x: Float[Array, "*rest I"], weight: Float[Array, "O I"], bias: Float[Array, " O"]) -> Any:
    """x Wᵀ + b on the last axis."""
    return x @ weight.T + bias


def conv3x3(x: Float[Array, "B h w I"], weight: Float[Array, "O I 3 3"], bias: Float[Array, " O"]) -> Any:
    """Every cell with its eight neighbours, zeros outside the grid: [B,h,w,O].

    Nine shifted copies of the grid side by side, then one matrix product.
    """
    _, height, width, _ = x.shape
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    shifted = [padded[:, dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)]
    matrix = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)
    return linear(np.concatenate(shifted, axis=-1), matrix, bias)


def relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """max(x, 0)"""
    return np.maximum(x, 0)


def sigmoid(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1 / (1 + exp(−x)), written so that nothing overflows."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def expand(x: Float[Array, "..."], shape: tuple[int, ...]) -> Array:
    """Repeat the axes of length one to that shape, without copying."""
    return np.broadcast_to(x, shape)


def repeat(x: Float[Array, "V *rest"], times: int) -> Float[Array, "K *rest"]:
    """Every entry of the first axis so many times: once for each object of a video."""
    return x if times == 1 else np.repeat(x, times, axis=0)
