"""Step 3: queries look at keys and take the mean of the values, weighted by softmax."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..configs.contract import Record, check_grid, check_pointers, frames_of_keys, grid_of, unrecorded
from ..configs.schema import check_head_widths
from .position import rotary_angles, rotate


def split_heads(x: Float[Tensor, "B T C"], num_heads: int) -> Float[Tensor, "B H T d"]:
    """Give each head its own d = C / H channels."""
    return x.unflatten(-1, (num_heads, x.shape[-1] // num_heads)).transpose(1, 2)


def merge_heads(x: Float[Tensor, "B H T d"]) -> Float[Tensor, "B T C"]:
    """Put the heads' channels side by side again."""
    return x.transpose(1, 2).flatten(-2)


def softmax(logits: Float[Tensor, "*rest M"]) -> Float[Tensor, "*rest M"]:
    """exp(logits) / Σ exp(logits) over the last axis, in float32 or better."""
    working = torch.promote_types(logits.dtype, torch.float32)
    return logits.softmax(dim=-1, dtype=working)


def textbook_attention(
    query: Float[Tensor, "B H N d"], key: Float[Tensor, "B H M d"], value: Float[Tensor, "B H M c"]
) -> Float[Tensor, "B H N c"]:
    """softmax(q kᵀ / √d) v as it is written, with all N × M logits: the plain formula to compare with."""
    logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return softmax(logits).to(value.dtype) @ value


def scaled_dot_product_attention(
    query: Float[Tensor, "B H N d"],
    key: Float[Tensor, "B H M d"],
    value: Float[Tensor, "B H M c"],
    dropout: float = 0.0,
) -> Float[Tensor, "B H N c"]:
    """softmax(q kᵀ / √d) v by the fastest kernel that PyTorch has here; `dropout` acts on the weights.

    Source: Vaswani et al., 2017, arXiv:1706.03762, equation 1; FlashAttention, Dao et al., 2022,
    arXiv:2205.14135.
    """
    return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)


class Attention(nn.Module):
    """Multi-head attention between tokens of C channels and tokens of `kv_in_dim` channels.

    Source: Vaswani et al., 2017, arXiv:1706.03762, section 3.2.2.
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
        super().__init__()
        check_head_widths(embedding_dim, num_heads, downsample_rate, self.rotary)
        internal_dim = embedding_dim // downsample_rate
        self.num_heads = num_heads
        self.dropout_p = dropout
        self.q_proj = nn.Linear(embedding_dim, internal_dim)
        self.k_proj = nn.Linear(kv_in_dim or embedding_dim, internal_dim)
        self.v_proj = nn.Linear(kv_in_dim or embedding_dim, internal_dim)
        self.out_proj = nn.Linear(internal_dim, embedding_dim)

    def forward(
        self,
        q: Float[Tensor, "B N C"],
        k: Float[Tensor, "B M K"],
        v: Float[Tensor, "B M K"],
        num_k_exclude_rope: int = 0,
        grid: tuple[int, int] | None = None,
        record: Record = unrecorded,
    ) -> Float[Tensor, "B N C"]:
        """Project, split into heads, encode positions, attend, merge the heads, project back.

        The last `num_k_exclude_rope` keys have no place in the image; `grid` is the (h, w) of the queries.
        """
        query = record("q", split_heads(self.q_proj(q), self.num_heads))
        key = record("k", split_heads(self.k_proj(k), self.num_heads))
        value = record("v", split_heads(self.v_proj(v), self.num_heads))
        query, key = self._encode(query, key, num_k_exclude_rope, grid, record)
        dropout = self.dropout_p if self.training else 0.0
        attended = record("attended", merge_heads(scaled_dot_product_attention(query, key, value, dropout)))
        return record("out", self.out_proj(attended))

    def _encode(
        self,
        query: Float[Tensor, "B H N d"],
        key: Float[Tensor, "B H M d"],
        num_k_exclude_rope: int,
        grid: tuple[int, int] | None,
        record: Record,
    ) -> tuple[Float[Tensor, "B H N d"], Float[Tensor, "B H M d"]]:
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
        query: Float[Tensor, "B H N d"],
        key: Float[Tensor, "B H M d"],
        num_k_exclude_rope: int,
        grid: tuple[int, int] | None,
        record: Record,
    ) -> tuple[Float[Tensor, "B H N d"], Float[Tensor, "B H M d"]]:
        """Rotate every query, and every key but the last `num_k_exclude_rope`: each frame's keys as one grid."""
        num_queries, head_dim = query.shape[-2:]
        height, width = grid_of(num_queries, grid, self.feat_sizes)
        check_pointers(num_k_exclude_rope, key.shape[-2])
        num_rotated = key.shape[-2] - num_k_exclude_rope
        frames = frames_of_keys(num_rotated, num_queries, self.rope_k_repeat)

        angles = rotary_angles(height, width, head_dim, self.rope_theta, query.device)
        query = record("q_rotated", rotate(query, angles))
        framed = key[:, :, :num_rotated].unflatten(-2, (frames, num_queries))
        key = torch.cat([rotate(framed, angles).flatten(2, 3), key[:, :, num_rotated:]], dim=2)
        return query, record("k_rotated", key)
