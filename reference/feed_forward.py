"""Step 6: every token by itself passes a network of two layers."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ..rules.record import Record, unrecorded
from .module import Linear
from .norm import LayerNorm

Activation = Callable[[Float[np.ndarray, "*rest F"]], Float[np.ndarray, "*rest G"]]


def relu(x: Float[np.ndarray, "*rest F"]) -> Float[np.ndarray, "*rest F"]:
    """max(x, 0)."""
    return np.maximum(x, 0)


def gelu(x: Float[np.ndarray, "*rest F"]) -> Float[np.ndarray, "*rest F"]:
    """x Φ(x) with the exact normal distribution function Φ. Source: Hendrycks and Gimpel, arXiv:1606.08415."""
    erf = np.vectorize(math.erf, otypes=[np.float64])
    return (x * (1 + erf(x / math.sqrt(2))) / 2).astype(x.dtype)


def glu(x: Float[np.ndarray, "*rest F"]) -> Float[np.ndarray, "*rest G"]:
    """The first half of the channels times the sigmoid of the second. Source: Dauphin et al., arXiv:1612.08083."""
    value, gate = np.split(x, 2, axis=-1)
    return value * (1 + np.tanh(gate / 2)) / 2


ACTIVATIONS: dict[str, Activation] = {"relu": relu, "gelu": gelu, "glu": glu}


def feed_forward(
    x: Float[np.ndarray, "B N C"],
    norm: LayerNorm,
    linear1: Linear,
    activation: Activation,
    linear2: Linear,
    record: Record = unrecorded,
) -> Float[np.ndarray, "B N C"]:
    """x + W₂ · activation(W₁ · norm(x) + b₁) + b₂.

    Source: Vaswani et al., 2017, arXiv:1706.03762, section 3.3.
    """
    hidden = record("linear1", linear1(record("norm3", norm(x))))
    update = record("linear2", linear2(record("activation", activation(hidden))))
    return record("feed_forward", x + update)
