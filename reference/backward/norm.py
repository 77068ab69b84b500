"""Step 1, backwards: layer normalisation."""

import numpy as np
from jaxtyping import Float

from ..norm import layer_norm
from .module import Cache, Gradients


def layer_norm_forward(
    x: Float[np.ndarray, "*rest C"],
    weight: Float[np.ndarray, " C"],
    bias: Float[np.ndarray, " C"],
    eps: float = 1e-5,
) -> tuple[Float[np.ndarray, "*rest C"], Cache]:
    """`layer_norm`; the cache is its input and what it scales with."""
    return layer_norm(x, weight, bias, eps), (x, weight, eps)


def layer_norm_backward(
    d_out: Float[np.ndarray, "*rest C"], cache: Cache
) -> tuple[Float[np.ndarray, "*rest C"], Gradients]:
    """The gradients by x, and by `weight` and `bias`.

    Let s = √(var(x) + eps) and n = (x − mean(x)) / s, so that y = n · weight + bias. Then over all tokens
    dweight = Σ dy · n and dbias = Σ dy, and for each token dn = dy · weight.
    Channel j moves n_i directly, through the mean, and through s, where ∂s/∂x_j = n_j / C:
    ∂n_i/∂x_j = (δ_ij − 1/C − n_i n_j / C) / s, so dx = (dn − mean(dn) − n · mean(dn · n)) / s.
    """
    x, weight, eps = cache
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    normalised = centred / spread

    d_normalised = d_out * weight.astype(d_out.dtype)
    mean = d_normalised.mean(axis=-1, keepdims=True)
    along = (d_normalised * normalised).mean(axis=-1, keepdims=True)
    tokens = tuple(range(x.ndim - 1))
    gradients = {"weight": (d_out * normalised).sum(axis=tokens), "bias": d_out.sum(axis=tokens)}
    return (d_normalised - mean - normalised * along) / spread, gradients
