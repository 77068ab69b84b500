"""Step 1: layer normalisation."""

import numpy as np
from jaxtyping import Float

from .module import Module


def layer_norm(
    x: Float[np.ndarray, "*rest C"],
    weight: Float[np.ndarray, " C"],
    bias: Float[np.ndarray, " C"],
    eps: float = 1e-5,
) -> Float[np.ndarray, "*rest C"]:
    """Give every token mean 0 and variance 1 over its channels, then scale and shift each channel.

    y = (x − mean(x)) / √(var(x) + eps) · weight + bias, with the biased variance, in float32 or better.
    Source: Ba et al., 2016, arXiv:1607.06450, section 3.1.
    """
    wide = x.astype(np.promote_types(x.dtype, np.float32))
    centred = wide - wide.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return (centred / np.sqrt(variance + eps) * weight + bias).astype(x.dtype)


class LayerNorm(Module):
    """`layer_norm` with its own weight and bias, at first 1 and 0."""

    def __init__(self, channels: int) -> None:
        self.weight = np.ones(channels, np.float32)
        self.bias = np.zeros(channels, np.float32)

    def forward(self, x: Float[np.ndarray, "*rest C"]) -> Float[np.ndarray, "*rest C"]:
        """Normalise the last axis."""
        return layer_norm(x, self.weight, self.bias)
