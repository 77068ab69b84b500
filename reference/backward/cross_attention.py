"""Step 5, backwards: the tokens of the current frame look at the memories and object pointers."""

import numpy as np
from jaxtyping import Float

from ...rules.contract import require_position
from ..attention import Attention
from ..norm import LayerNorm
from .attention import attention_backward, attention_forward
from .module import Cache, Gradients, under
from .norm import layer_norm_backward, layer_norm_forward


def cross_attention_forward(
    x: Float[np.ndarray, "B N C"],
    memory: Float[np.ndarray, "B M K"],
    query_pos: Float[np.ndarray, "B N C"] | None,
    memory_pos: Float[np.ndarray, "B M K"] | None,
    norm: LayerNorm,
    attention: Attention,
    pos_enc_at_queries: bool,
    pos_enc_at_keys: bool,
    num_k_exclude_rope: int = 0,
    grid: tuple[int, int] | None = None,
) -> tuple[Float[np.ndarray, "B N C"], Cache]:
    """x + attention(q, k, v) with q = norm(x) (+ query_pos), k = memory (+ memory_pos), v = memory."""
    q, norm_cache = layer_norm_forward(x, norm.weight, norm.bias)
    k = memory
    if pos_enc_at_queries:
        q = q + require_position(query_pos, "curr_pos", "pos_enc_at_cross_attn_queries")
    if pos_enc_at_keys:
        k = k + require_position(memory_pos, "memory_pos", "pos_enc_at_cross_attn_keys")
    attended, attention_cache = attention_forward(attention, q, k, memory, num_k_exclude_rope, grid)
    return x + attended, (norm_cache, attention_cache, pos_enc_at_queries, pos_enc_at_keys)


def cross_attention_backward(
    d_out: Float[np.ndarray, "B N C"], cache: Cache
) -> tuple[
    Float[np.ndarray, "B N C"],
    Float[np.ndarray, "B M K"],
    Float[np.ndarray, "B N C"] | None,
    Float[np.ndarray, "B M K"] | None,
    Gradients,
]:
    """The gradients by x, memory, query_pos and memory_pos, and by `norm2` and `cross_attn_image`.

    A memory is key and value: dmemory = dk + dv, while memory_pos is in the key alone. A position that is
    not added has none.
    """
    norm_cache, attention_cache, pos_enc_at_queries, pos_enc_at_keys = cache
    d_q, d_k, d_v, attention_gradients = attention_backward(d_out, attention_cache)
    d_x, norm_gradients = layer_norm_backward(d_q, norm_cache)
    d_query_pos = d_q if pos_enc_at_queries else None
    d_memory_pos = d_k if pos_enc_at_keys else None
    gradients = under("norm2", norm_gradients) | under("cross_attn_image", attention_gradients)
    return d_out + d_x, d_k + d_v, d_query_pos, d_memory_pos, gradients
