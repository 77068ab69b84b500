"""Step 4, backwards: the tokens of the current frame look at each other."""

import numpy as np
from jaxtyping import Float

from ...rules.contract import require_position
from ..attention import Attention
from ..norm import LayerNorm
from .attention import attention_backward, attention_forward
from .module import Cache, Gradients, under
from .norm import layer_norm_backward, layer_norm_forward


def self_attention_forward(
    x: Float[np.ndarray, "B N C"],
    query_pos: Float[np.ndarray, "B N C"] | None,
    norm: LayerNorm,
    attention: Attention,
    pos_enc_at_attn: bool,
    grid: tuple[int, int] | None = None,
) -> tuple[Float[np.ndarray, "B N C"], Cache]:
    """x + attention(q, k, v) with y = norm(x), q = k = y (+ query_pos), v = y."""
    y, norm_cache = layer_norm_forward(x, norm.weight, norm.bias)
    q = k = y + require_position(query_pos, "curr_pos", "pos_enc_at_attn") if pos_enc_at_attn else y
    attended, attention_cache = attention_forward(attention, q, k, y, grid=grid)
    return x + attended, (norm_cache, attention_cache, pos_enc_at_attn)


def self_attention_backward(
    d_out: Float[np.ndarray, "B N C"], cache: Cache
) -> tuple[Float[np.ndarray, "B N C"], Float[np.ndarray, "B N C"] | None, Gradients]:
    """The gradients by x and by query_pos (none where it is not added), and by `norm1` and `self_attn`.

    y is query, key and value, so dy = dq + dk + dv, and query_pos is in two of them. x reaches the output
    through the norm and past it: dx = dout + what the norm makes of dy. So no gradient is lost on the way
    through many layers.
    """
    norm_cache, attention_cache, pos_enc_at_attn = cache
    d_q, d_k, d_v, attention_gradients = attention_backward(d_out, attention_cache)
    d_x, norm_gradients = layer_norm_backward(d_q + d_k + d_v, norm_cache)
    d_query_pos = d_q + d_k if pos_enc_at_attn else None
    gradients = under("norm1", norm_gradients) | under("self_attn", attention_gradients)
    return d_out + d_x, d_query_pos, gradients
