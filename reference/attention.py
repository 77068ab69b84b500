"""Step 3: queries look at keys and take the mean of the values, weighted by softmax."""

import numpy as np
from jaxtyping import Float

from ..configs.schema import check_head_widths
from ..rules.contract import placed_tokens
from ..rules.grids import check_grid, frames_of_keys, grid_of
from ..rules.memory_space import memory_space_saves
from ..rules.record import Record, unrecorded
from .module import Linear, Module
from .position import rotary_angles, rotate

TEXTBOOK_LOGITS = 2**22


def split_heads(x: Float[np.ndarray, "B T C"], num_heads: int) -> Float[np.ndarray, "B H T d"]:
    """Give each head its own d = C / H channels."""
    batch, tokens, channels = x.shape
    return x.reshape(batch, tokens, num_heads, channels // num_heads).swapaxes(1, 2)


def merge_heads(x: Float[np.ndarray, "B H T d"]) -> Float[np.ndarray, "B T C"]:
    """Put the heads' channels side by side again."""
    batch, heads, tokens, channels = x.shape
    return x.swapaxes(1, 2).reshape(batch, tokens, heads * channels)


def softmax(logits: Float[np.ndarray, "*rest M"]) -> Float[np.ndarray, "*rest M"]:
    """exp(logits) / Σ exp(logits) over the last axis, shifted by the largest logit so that nothing overflows."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def scaled_dot_product_attention(
    query: Float[np.ndarray, "#B H N d"],
    key: Float[np.ndarray, "B H M d"],
    value: Float[np.ndarray, "B H M c"],
) -> Float[np.ndarray, "B H N c"]:
    """softmax(q kᵀ / √d) v, the textbook form: it holds all N × M logits. In float32 or better.

    Source: Vaswani et al., 2017, arXiv:1706.03762, equation 1.
    """
    working = np.promote_types(query.dtype, np.float32)
    scaled = query.astype(working) / np.sqrt(query.shape[-1], dtype=working)
    logits = scaled @ key.astype(working).swapaxes(-1, -2)
    return (softmax(logits) @ value.astype(working)).astype(query.dtype)


def tiled_scaled_dot_product_attention(
    query: Float[np.ndarray, "#B H N d"],
    key: Float[np.ndarray, "B H M d"],
    value: Float[np.ndarray, "B H M c"],
    query_tile: int = 512,
    key_tile: int = 1024,
) -> Float[np.ndarray, "B H N c"]:
    """The same, tile by tile: it never holds more than query_tile × key_tile logits per head.

    Softmax needs the largest logit and the sum of all exponentials, and meets the keys a tile at a
    time. So it keeps the largest logit so far, m, and relative to it the sum s = Σ exp(logit − m) and
    the weighted values a = Σ exp(logit − m) v. When a tile raises m to m′, what was summed before is
    multiplied by exp(m − m′); after the last tile the result is a / s, whatever the tiling.
    Source: Milakov and Gimelshein, 2018, arXiv:1805.02867, algorithm 3; FlashAttention, Dao et al.,
    2022, arXiv:2205.14135, section 3.1.
    """
    working = np.promote_types(query.dtype, np.float32)
    batch, heads = key.shape[:2]
    result = np.empty((batch, heads, query.shape[-2], value.shape[-1]), query.dtype)
    for row in range(0, query.shape[-2], query_tile):
        rows = np.s_[..., row : row + query_tile, :]
        scaled = query[rows].astype(working, copy=False) / np.sqrt(query.shape[-1], dtype=working)
        largest = np.full((batch, heads, scaled.shape[-2], 1), -np.inf, working)
        total = np.zeros_like(largest)
        weighted = np.zeros((*largest.shape[:-1], value.shape[-1]), working)
        for column in range(0, key.shape[-2], key_tile):
            columns = np.s_[..., column : column + key_tile, :]
            exponentials = scaled @ key[columns].astype(working, copy=False).swapaxes(-1, -2)
            new_largest = np.maximum(largest, exponentials.max(axis=-1, keepdims=True))
            exponentials -= new_largest
            np.exp(exponentials, out=exponentials)
            correction = np.exp(largest - new_largest)
            total = total * correction + exponentials.sum(axis=-1, keepdims=True)
            weighted = weighted * correction + exponentials @ value[columns].astype(working, copy=False)
            largest = new_largest
        result[rows] = weighted / total
    return result


def attend(
    query: Float[np.ndarray, "#B H N d"],
    key: Float[np.ndarray, "B H M d"],
    value: Float[np.ndarray, "B H M c"],
) -> Float[np.ndarray, "B H N c"]:
    """The textbook form while its logits are few, else the tiled one."""
    logits = query.shape[-2] * key[..., 0].size
    form = scaled_dot_product_attention if logits <= TEXTBOOK_LOGITS else tiled_scaled_dot_product_attention
    return form(query, key, value)


def attend_in_memory_space(
    query: Float[np.ndarray, "#B H N d"],
    key: Float[np.ndarray, "B H M d"],
    memory: Float[np.ndarray, "B M K"],
    weight: Float[np.ndarray, "C K"],
    bias: Float[np.ndarray, " C"],
) -> Float[np.ndarray, "B H N d"]:
    """`attend` to the values memory Wᵀ + b without computing them: weight the memories, then project their mean.

    A query's weights p sum to one, so its weighted sum of values is Σ p (m Wᵀ + b) = (Σ p m) Wᵀ + b.
    The sum over the M memories is then K wide instead of d, and W meets N means instead of M memories.
    Each head has d of the C rows of W and b. Dropout on the weights would break it: what it leaves of
    them no longer sums to one, and b would need that sum as its factor.
    """
    heads, head_dim = key.shape[1], key.shape[3]
    batch, num_keys, memory_dim = memory.shape
    mean = attend(query, key, np.broadcast_to(memory[:, None], (batch, heads, num_keys, memory_dim)))
    weight = weight.reshape(heads, head_dim, memory_dim).astype(mean.dtype)
    return mean @ weight.swapaxes(-1, -2) + bias.reshape(heads, 1, head_dim).astype(mean.dtype)


class Attention(Module):
    """Multi-head attention between tokens of C channels and tokens of `kv_in_dim` channels.

    Source: Vaswani et al., 2017, arXiv:1706.03762, section 3.2.2. There is no training here, so
    `dropout` is only kept.
    """

    rotary = False

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        downsample_rate: int = 1,
        dropout: float = 0.0,
        kv_in_dim: int | None = None,
    ) -> None:
        check_head_widths(embedding_dim, num_heads, downsample_rate, self.rotary)
        internal_dim = embedding_dim // downsample_rate
        self.num_heads = num_heads
        self.dropout = dropout
        self.q_proj = Linear(embedding_dim, internal_dim)
        self.k_proj = Linear(kv_in_dim or embedding_dim, internal_dim)
        self.v_proj = Linear(kv_in_dim or embedding_dim, internal_dim)
        self.out_proj = Linear(internal_dim, embedding_dim)

    def forward(
        self,
        q: Float[np.ndarray, "#B N C"],
        k: Float[np.ndarray, "B M K"],
        v: Float[np.ndarray, "B M K"],
        num_k_exclude_rope: int = 0,
        grid: tuple[int, int] | None = None,
        record: Record = unrecorded,
    ) -> Float[np.ndarray, "B N C"]:
        """Project, split into heads, encode positions, attend, merge the heads, project back.

        The last `num_k_exclude_rope` keys have no place in the image; `grid` is the (h, w) of the queries.
        Values are projected only where that is less work, or where somebody listens to the steps.
        """
        query = record("q", split_heads(self.q_proj(q), self.num_heads))
        key = record("k", split_heads(self.k_proj(k), self.num_heads))
        if record is unrecorded and memory_space_saves(q.shape[1], k.shape[1], query.shape[-1], v.shape[-1]):
            query, key = self._encode(query, key, num_k_exclude_rope, grid, record)
            heads = attend_in_memory_space(query, key, v, self.v_proj.weight, self.v_proj.bias)
        else:
            value = record("v", split_heads(self.v_proj(v), self.num_heads))
            query, key = self._encode(query, key, num_k_exclude_rope, grid, record)
            heads = attend(query, key, value)
        return record("out", self.out_proj(record("attended", merge_heads(heads))))

    def _encode(
        self,
        query: Float[np.ndarray, "#B H N d"],
        key: Float[np.ndarray, "B H M d"],
        num_k_exclude_rope: int,
        grid: tuple[int, int] | None,
        record: Record,
    ) -> tuple[Float[np.ndarray, "#B H N d"], Float[np.ndarray, "B H M d"]]:
        return query, key


class RoPEAttention(Attention):
    """Attention whose queries and keys are rotated by their place in the grid.

    Source: SAM 2, Ravi et al., 2024, arXiv:2408.00714, section 4 and appendix C.1 ("2d-RoPE").
    """

    rotary = True

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        downsample_rate: int = 1,
        dropout: float = 0.0,
        kv_in_dim: int | None = None,
        rope_theta: float = 10000.0,
        rope_k_repeat: bool = False,
        feat_sizes: tuple[int, int] = (64, 64),
    ) -> None:
        super().__init__(embedding_dim, num_heads, downsample_rate, dropout, kv_in_dim)
        self.rope_theta = rope_theta
        self.rope_k_repeat = rope_k_repeat
        self.feat_sizes = check_grid(feat_sizes, "feat_sizes")

    def _encode(
        self,
        query: Float[np.ndarray, "#B H N d"],
        key: Float[np.ndarray, "B H M d"],
        num_k_exclude_rope: int,
        grid: tuple[int, int] | None,
        record: Record,
    ) -> tuple[Float[np.ndarray, "#B H N d"], Float[np.ndarray, "B H M d"]]:
        """Rotate every query, and every key but the last `num_k_exclude_rope`: each frame's keys as one grid."""
        batch, heads, num_keys, head_dim = key.shape
        num_queries = query.shape[-2]
        height, width = grid_of(num_queries, grid, self.feat_sizes)
        num_rotated = placed_tokens(num_k_exclude_rope, num_keys)
        frames = frames_of_keys(num_rotated, num_queries, self.rope_k_repeat)

        angles = rotary_angles(height, width, head_dim, self.rope_theta)
        query = record("q_rotated", rotate(query, angles))
        framed = key[:, :, :num_rotated].reshape(batch, heads, frames, num_queries, head_dim)
        rotated = rotate(framed, angles).reshape(batch, heads, num_rotated, head_dim)
        key = record("k_rotated", np.concatenate([rotated, key[:, :, num_rotated:]], axis=2))
        return query, key
