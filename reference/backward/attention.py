"""Step 3, backwards: what the answers say about queries, keys and values."""

import numpy as np
from jaxtyping import Float

from ...rules.contract import placed_tokens
from ...rules.grids import frames_of_keys, grid_of
from ..attention import Attention, RoPEAttention, merge_heads, softmax, split_heads
from ..position import rotary_angles
from .module import Cache, Gradients, linear_backward, linear_forward, under
from .position import rotate_backward, rotate_forward


def softmax_forward(
    logits: Float[np.ndarray, "*rest M"],
) -> tuple[Float[np.ndarray, "*rest M"], Float[np.ndarray, "*rest M"]]:
    """`softmax`; the cache is its output."""
    weights = softmax(logits)
    return weights, weights


def softmax_backward(
    d_out: Float[np.ndarray, "*rest M"], weights: Float[np.ndarray, "*rest M"]
) -> Float[np.ndarray, "*rest M"]:
    """The gradient by the logits.

    p_i = exp(l_i) / Σ exp(l) gives ∂p_i/∂l_j = p_i (δ_ij − p_j), so dl = p · (dp − Σ p dp): a logit gains
    by as much as its key is better than the mean. The gradient sums to zero, as the weights sum to one.
    """
    return weights * (d_out - (weights * d_out).sum(axis=-1, keepdims=True))


def scaled_dot_product_attention_forward(
    query: Float[np.ndarray, "B H N d"],
    key: Float[np.ndarray, "B H M d"],
    value: Float[np.ndarray, "B H M c"],
) -> tuple[Float[np.ndarray, "B H N c"], Cache]:
    """softmax(q kᵀ / √d) v; the cache holds all N × M weights."""
    scale = query.shape[-1] ** -0.5
    weights, softmax_cache = softmax_forward(query @ key.swapaxes(-1, -2) * scale)
    return weights @ value, (query, key, value, weights, softmax_cache, scale)


def scaled_dot_product_attention_backward(
    d_out: Float[np.ndarray, "B H N c"], cache: Cache
) -> tuple[Float[np.ndarray, "B H N d"], Float[np.ndarray, "B H M d"], Float[np.ndarray, "B H M c"]]:
    """The gradients by query, key and value.

    out = P v is linear in both factors: dv = Pᵀ dout and dP = dout vᵀ. Softmax makes dl of dP, and the logits
    l = q kᵀ / √d are linear in both again: dq = dl k / √d and dk = dlᵀ q / √d.
    """
    query, key, value, weights, softmax_cache, scale = cache
    d_value = weights.swapaxes(-1, -2) @ d_out
    d_logits = softmax_backward(d_out @ value.swapaxes(-1, -2), softmax_cache) * scale
    return d_logits @ key, d_logits.swapaxes(-1, -2) @ query, d_value


def attention_forward(
    attention: Attention,
    q: Float[np.ndarray, "B N C"],
    k: Float[np.ndarray, "B M K"],
    v: Float[np.ndarray, "B M K"],
    num_k_exclude_rope: int = 0,
    grid: tuple[int, int] | None = None,
) -> tuple[Float[np.ndarray, "B N C"], Cache]:
    """`Attention` or `RoPEAttention`: project, split into heads, encode positions, attend, merge, project back."""
    query, q_cache = linear_forward(attention.q_proj, q)
    key, k_cache = linear_forward(attention.k_proj, k)
    value, v_cache = linear_forward(attention.v_proj, v)
    query, key, value = (split_heads(x, attention.num_heads) for x in (query, key, value))
    angles = None
    if isinstance(attention, RoPEAttention):
        angles = _angles(attention, query, key, num_k_exclude_rope, grid)
        query, key = (rotate_forward(x, a)[0] for x, a in zip((query, key), angles, strict=True))
    heads, heads_cache = scaled_dot_product_attention_forward(query, key, value)
    out, out_cache = linear_forward(attention.out_proj, merge_heads(heads))
    return out, (q_cache, k_cache, v_cache, angles, heads_cache, out_cache, attention.num_heads)


def attention_backward(
    d_out: Float[np.ndarray, "B N C"], cache: Cache
) -> tuple[Float[np.ndarray, "B N C"], Float[np.ndarray, "B M K"], Float[np.ndarray, "B M K"], Gradients]:
    """The gradients by q, k and v, and by the parameters of the four projections.

    The chain rule, from the last step to the first. Splitting and merging heads only rearrange, so their
    gradients are rearranged the other way.
    """
    q_cache, k_cache, v_cache, angles, heads_cache, out_cache, num_heads = cache
    d_merged, out_gradients = linear_backward(d_out, out_cache)
    d_heads = split_heads(d_merged, num_heads)
    d_query, d_key, d_value = scaled_dot_product_attention_backward(d_heads, heads_cache)
    if angles is not None:
        d_query, d_key = (rotate_backward(d, a) for d, a in zip((d_query, d_key), angles, strict=True))
    d_q, q_gradients = linear_backward(merge_heads(d_query), q_cache)
    d_k, k_gradients = linear_backward(merge_heads(d_key), k_cache)
    d_v, v_gradients = linear_backward(merge_heads(d_value), v_cache)
    gradients = (
        under("q_proj", q_gradients)
        | under("k_proj", k_gradients)
        | under("v_proj", v_gradients)
        | under("out_proj", out_gradients)
    )
    return d_q, d_k, d_v, gradients


def _angles(
    attention: RoPEAttention,
    query: Float[np.ndarray, "B H N d"],
    key: Float[np.ndarray, "B H M d"],
    num_k_exclude_rope: int,
    grid: tuple[int, int] | None,
) -> tuple[Float[np.ndarray, "N half"], Float[np.ndarray, "M half"]]:
    """The angles of all queries and of all keys: those of the grid for each frame, and 0 for pointers."""
    num_queries, num_keys, head_dim = query.shape[-2], key.shape[-2], key.shape[-1]
    placed = placed_tokens(num_k_exclude_rope, num_keys)
    frames = frames_of_keys(placed, num_queries, attention.rope_k_repeat)
    height, width = grid_of(num_queries, grid, attention.feat_sizes)
    angles = rotary_angles(height, width, head_dim, attention.rope_theta)
    unturned = np.zeros((num_keys - placed, head_dim // 2))
    return angles, np.concatenate([np.tile(angles, (frames, 1)), unturned])
