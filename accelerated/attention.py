"""Step 3: queries look at keys and take the mean of the values, weighted by softmax."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..configs.schema import check_head_widths
from ..rules.contract import placed_tokens
from ..rules.grids import check_grid, frames_of_keys, grid_of
from ..rules.record import Record, unrecorded
from .kernels import axial_attention, scaled_dot_product_attention
from .position import Places, rotary_table_for, rotate
from .problem import Form
from .ways import queries_go_to_memory_space, way_of_attention


def split_heads(x: Float[Tensor, "B T C"], num_heads: int) -> Float[Tensor, "B H T d"]:
    """Give each head its own d = C / H channels."""
    return x.unflatten(-1, (num_heads, x.shape[-1] // num_heads)).transpose(1, 2)


def merge_heads(x: Float[Tensor, "B H T d"]) -> Float[Tensor, "B T C"]:
    """Put the heads' channels side by side again."""
    return x.transpose(1, 2).flatten(-2)


def attend_in_memory_space(
    query: Float[Tensor, "#B H N d"],
    key: Float[Tensor, "B H M d"],
    memory: Float[Tensor, "B M K"],
    weight: Float[Tensor, "C K"],
    bias: Float[Tensor, " C"],
    kernel: str = "pytorch",
    forced: bool = True,
) -> Float[Tensor, "B H N d"]:
    """Attend to the values memory Wᵀ + b without computing them: weight the memories, then project their mean.

    softmax's weights p sum to one, so Σ p (m Wᵀ + b) = (Σ p m) Wᵀ + b: the derivation is in the reference.
    """
    heads = key.shape[1]
    value = memory.to(query.dtype)[:, None].expand(-1, heads, -1, -1)
    mean = scaled_dot_product_attention(query, key, value, kernel=kernel, forced=forced)
    return project_mean(mean, weight, bias)


def project_mean(
    mean: Float[Tensor, "B H N K"], weight: Float[Tensor, "C K"], bias: Float[Tensor, " C"]
) -> Float[Tensor, "B H N d"]:
    """Bring each head's means of memories to the values' space."""
    heads = mean.shape[1]
    return mean @ weight.unflatten(0, (heads, -1)).mT.to(mean.dtype) + bias.view(heads, 1, -1).to(mean.dtype)


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
        self.kernel: str | None = None
        self.memory_space: bool | None = None
        self.q_proj = nn.Linear(embedding_dim, internal_dim)
        self.k_proj = nn.Linear(kv_in_dim or embedding_dim, internal_dim)
        self.v_proj = nn.Linear(kv_in_dim or embedding_dim, internal_dim)
        self.out_proj = nn.Linear(internal_dim, embedding_dim)

    def forward(
        self,
        q: Float[Tensor, "#B N C"],
        k: Float[Tensor, "B M K"],
        v: Float[Tensor, "B M K"],
        num_k_exclude_rope: int = 0,
        grid: tuple[int, int] | None = None,
        record: Record = unrecorded,
    ) -> Float[Tensor, "B N C"]:
        """Project, split into heads, encode positions, attend, merge the heads, project back.

        The last `num_k_exclude_rope` keys have no place in the image; `grid` is the (h, w) of the queries.
        At inference form and kernel are chosen, or are those of `kernel` and `memory_space`. In training and
        for gradients it is the plain form with PyTorch's kernel; where somebody listens to the steps or hooks
        `v_proj`, the values are projected, and where they do so or hook `k_proj`, the keys.
        """
        query = record("q", split_heads(self.q_proj(q), self.num_heads))
        places = self._places(q.shape[1], k.shape[1], num_k_exclude_rope, grid)
        if queries_go_to_memory_space(self, query, k, v, places, record):
            mean = axial_attention(query, k, v, self.k_proj.weight, self.k_proj.bias, places)
            heads = project_mean(mean, self.v_proj.weight, self.v_proj.bias)
            return self.out_proj(merge_heads(heads))
        key = record("k", split_heads(self.k_proj(k), self.num_heads))
        form = self._form(query, key, v, record, places)
        value = v if form.memory_space else record("v", split_heads(self.v_proj(v), self.num_heads))
        query, key = self._encode(query, key, places, record, form.in_place)
        kernel = form.kernel, self.kernel is not None
        if form.memory_space:
            heads = attend_in_memory_space(query, key, v, self.v_proj.weight, self.v_proj.bias, *kernel)
        else:
            dropout = self.dropout_p if self.training else 0.0
            heads = scaled_dot_product_attention(query, key, value, dropout, *kernel)
        return record("out", self.out_proj(record("attended", merge_heads(heads))))

    def _form(
        self,
        query: Float[Tensor, "#B H N d"],
        key: Float[Tensor, "B H M d"],
        v: Float[Tensor, "B M K"],
        record: Record = unrecorded,
        places: Places | None = None,
    ) -> Form:
        """Which way this call takes."""
        return way_of_attention(self, query, key, v, record, places)

    def _places(
        self, num_queries: int, num_keys: int, num_k_exclude_rope: int, grid: tuple[int, int] | None
    ) -> Places | None:
        """Where queries and keys are; here that does not matter."""
        return None

    def _encode(
        self,
        query: Float[Tensor, "#B H N d"],
        key: Float[Tensor, "B H M d"],
        places: Any,
        record: Record,
        in_place: bool = False,
    ) -> tuple[Float[Tensor, "#B H N d"], Float[Tensor, "B H M d"]]:
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

    def _places(
        self, num_queries: int, num_keys: int, num_k_exclude_rope: int, grid: tuple[int, int] | None
    ) -> Places:
        """Every query and key has its place, but the last `num_k_exclude_rope` keys: each frame's are one grid."""
        height, width = grid_of(num_queries, grid, self.feat_sizes)
        frames = frames_of_keys(placed_tokens(num_k_exclude_rope, num_keys), num_queries, self.rope_k_repeat)
        return Places(height, width, frames, self.rope_theta)

    def _encode(
        self,
        query: Float[Tensor, "#B H N d"],
        key: Float[Tensor, "B H M d"],
        places: Places | None,
        record: Record,
        in_place: bool = False,
    ) -> tuple[Float[Tensor, "#B H N d"], Float[Tensor, "B H M d"]]:
        """Rotate every query, and every key that has a place. `in_place` writes the rotated keys over `key`."""
        assert places is not None
        height, width, frames, theta = places
        num_queries = query.shape[-2]
        num_rotated = frames * num_queries
        table = rotary_table_for(query, height, width, theta)
        query = record("q_rotated", rotate(query, table))
        framed = key[:, :, :num_rotated].unflatten(-2, (frames, num_queries))
        if in_place:
            rotate(framed, table, out=framed)
            turned = key
        else:
            turned = torch.cat([rotate(framed, table).flatten(2, 3), key[:, :, num_rotated:]], dim=2)
        return query, record("k_rotated", turned)
