"""Step 6, backwards: every token by itself passes a network of two layers."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ..feed_forward import Activation, gelu, glu, relu
from ..module import Linear
from ..norm import LayerNorm
from .module import Cache, Gradients, linear_backward, linear_forward, under
from .norm import layer_norm_backward, layer_norm_forward


def relu_backward(
    d_out: Float[np.ndarray, "*rest F"], x: Float[np.ndarray, "*rest F"]
) -> Float[np.ndarray, "*rest F"]:
    """dx = dy where x > 0, and 0 elsewhere: what was cut off has no say."""
    return d_out * (x > 0)


def gelu_backward(
    d_out: Float[np.ndarray, "*rest F"], x: Float[np.ndarray, "*rest F"]
) -> Float[np.ndarray, "*rest F"]:
    """y = x Φ(x), so dx = dy (Φ(x) + x φ(x)) with the normal density φ(x) = exp(−x²/2) / √(2π)."""
    erf = np.vectorize(math.erf, otypes=[np.float64])
    distribution = (1 + erf(x / math.sqrt(2))) / 2
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return (d_out * (distribution + x * density)).astype(d_out.dtype)


def glu_backward(
    d_out: Float[np.ndarray, "*rest G"], x: Float[np.ndarray, "*rest F"]
) -> Float[np.ndarray, "*rest F"]:
    """y = a σ(g) for the halves a and g of x, so da = dy σ(g) and dg = dy a σ(g) (1 − σ(g))."""
    value, gate = np.split(x, 2, axis=-1)
    opened = (1 + np.tanh(gate / 2)) / 2
    return np.concatenate([d_out * opened, d_out * value * opened * (1 - opened)], axis=-1)


ACTIVATIONS_BACKWARD: dict[Activation, Callable[..., Float[np.ndarray, "*rest F"]]] = {
    relu: relu_backward,
    gelu: gelu_backward,
    glu: glu_backward,
}
"""By the activation itself; the cache of each is its input."""


def feed_forward_forward(
    x: Float[np.ndarray, "B N C"],
    norm: LayerNorm,
    linear1: Linear,
    activation: Activation,
    linear2: Linear,
) -> tuple[Float[np.ndarray, "B N C"], Cache]:
    """x + W₂ · activation(W₁ · norm(x) + b₁) + b₂."""
    y, norm_cache = layer_norm_forward(x, norm.weight, norm.bias)
    hidden, cache1 = linear_forward(linear1, y)
    update, cache2 = linear_forward(linear2, activation(hidden))
    return x + update, (norm_cache, cache1, activation, hidden, cache2)


def feed_forward_backward(
    d_out: Float[np.ndarray, "B N C"], cache: Cache
) -> tuple[Float[np.ndarray, "B N C"], Gradients]:
    """The gradients by x, and by `norm3`, `linear1` and `linear2`: the chain rule, and dout past it all."""
    norm_cache, cache1, activation, hidden, cache2 = cache
    d_activated, gradients2 = linear_backward(d_out, cache2)
    d_hidden = ACTIVATIONS_BACKWARD[activation](d_activated, hidden)
    d_y, gradients1 = linear_backward(d_hidden, cache1)
    d_x, norm_gradients = layer_norm_backward(d_y, norm_cache)
    gradients = under("norm3", norm_gradients) | under("linear1", gradients1) | under("linear2", gradients2)
    return d_out + d_x, gradients
