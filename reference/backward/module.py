"""Gradients by name, and those of the linear map."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ..module import Linear

Cache = tuple[Any, ...]
Gradients = dict[str, Float[np.ndarray, "..."]]


def under(prefix: str, gradients: Gradients) -> Gradients:
    """The gradients of a part, with `prefix.` before every name."""
    return {f"{prefix}.{name}": gradient for name, gradient in gradients.items()}


def total(*gradients: Float[np.ndarray, "..."] | None) -> Float[np.ndarray, "..."] | None:
    """The sum of the gradients of all uses of a value; none where it was not used."""
    given = [gradient for gradient in gradients if gradient is not None]
    return sum(given[1:], given[0]) if given else None


def linear_forward(linear: Linear, x: Float[np.ndarray, "*rest I"]) -> tuple[Float[np.ndarray, "*rest O"], Cache]:
    """x Wᵀ + b."""
    return linear(x), (x, linear.weight)


def linear_backward(
    d_out: Float[np.ndarray, "*rest O"], cache: Cache
) -> tuple[Float[np.ndarray, "*rest I"], Gradients]:
    """The gradients by x, and by `weight` and `bias`.

    y_o = Σ_i W_oi x_i + b_o, so dx_i = Σ_o dy_o W_oi for each token, and dW_oi = Σ dy_o x_i and db_o = Σ dy_o
    over all tokens, which share W and b.
    """
    x, weight = cache
    tokens, d_tokens = x.reshape(-1, x.shape[-1]), d_out.reshape(-1, d_out.shape[-1])
    return d_out @ weight.astype(d_out.dtype), {"weight": d_tokens.T @ tokens, "bias": d_tokens.sum(axis=0)}
