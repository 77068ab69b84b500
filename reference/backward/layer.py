"""Step 7, backwards: feed-forward, cross-attention and self-attention, in this order."""

import numpy as np
from jaxtyping import Float

from ..layer import MemoryAttentionLayer
from .cross_attention import cross_attention_backward, cross_attention_forward
from .feed_forward import feed_forward_backward, feed_forward_forward
from .module import Cache, Gradients, total
from .self_attention import self_attention_backward, self_attention_forward


def memory_attention_layer_forward(
    layer: MemoryAttentionLayer,
    tgt: Float[np.ndarray, "B N C"],
    memory: Float[np.ndarray, "B M K"],
    pos: Float[np.ndarray, "B M K"] | None = None,
    query_pos: Float[np.ndarray, "B N C"] | None = None,
    num_k_exclude_rope: int = 0,
    grid: tuple[int, int] | None = None,
) -> tuple[Float[np.ndarray, "B N C"], Cache]:
    """The three residual blocks, one after the other."""
    tgt, self_cache = self_attention_forward(
        tgt, query_pos, layer.norm1, layer.self_attn, layer.pos_enc_at_attn, grid
    )
    tgt, cross_cache = cross_attention_forward(
        tgt,
        memory,
        query_pos,
        pos,
        layer.norm2,
        layer.cross_attn_image,
        layer.pos_enc_at_cross_attn_queries,
        layer.pos_enc_at_cross_attn_keys,
        num_k_exclude_rope,
        grid,
    )
    tgt, network_cache = feed_forward_forward(tgt, layer.norm3, layer.linear1, layer.activation, layer.linear2)
    return tgt, (self_cache, cross_cache, network_cache)


def memory_attention_layer_backward(
    d_out: Float[np.ndarray, "B N C"], cache: Cache
) -> tuple[
    Float[np.ndarray, "B N C"],
    Float[np.ndarray, "B M K"],
    Float[np.ndarray, "B M K"] | None,
    Float[np.ndarray, "B N C"] | None,
    Gradients,
]:
    """The gradients by tgt, memory, pos and query_pos, and by every parameter under its name in the layer.

    The three blocks backwards. query_pos may be added in two of them: then its gradients add up.
    """
    self_cache, cross_cache, network_cache = cache
    d_tgt, network_gradients = feed_forward_backward(d_out, network_cache)
    d_tgt, d_memory, d_query_pos_cross, d_pos, cross_gradients = cross_attention_backward(d_tgt, cross_cache)
    d_tgt, d_query_pos_self, self_gradients = self_attention_backward(d_tgt, self_cache)
    d_query_pos = total(d_query_pos_cross, d_query_pos_self)
    return d_tgt, d_memory, d_pos, d_query_pos, self_gradients | cross_gradients | network_gradients
