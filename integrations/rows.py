"""The softmax rows of chosen queries, computed beside an attention that does not show them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..accelerated import Attention, RoPEAttention
from ..accelerated.attention import split_heads
from ..accelerated.position import rotary_table_for, rotate
from ..rules.grids import frames_of_keys, grid_of


def grid_of_queries(attention: Attention, num_queries: int, grid: tuple[int, int] | None) -> tuple[int, int]:
    """The (h, w) of a frame's tokens; without rotation, an attention that knows no grid has one row."""
    if isinstance(attention, RoPEAttention) or grid is not None:
        return grid_of(num_queries, grid, getattr(attention, "feat_sizes", (1, num_queries)))
    try:
        return grid_of(num_queries, None, (0, 0))
    except ValueError:
        return 1, num_queries


def softmax_rows(
    attention: Attention,
    q: Float[Tensor, "*_B N C"],
    k: Float[Tensor, "*_B M K"],
    chosen: Int[Tensor, " Q"],
    grid: tuple[int, int],
    num_k_exclude_rope: int,
) -> Float[Tensor, "_B H Q M"]:
    """softmax(q kᵀ / √d) for the chosen rows of q, as `attention` projects and rotates, in float32 or better.

    Memory frame after memory frame, so that no more than one frame's keys are rotated at a time.
    """
    q, k = q.flatten(0, -3), k.flatten(0, -3)
    query = split_heads(attention.q_proj(q[:, chosen]), attention.num_heads)
    key = split_heads(attention.k_proj(k), attention.num_heads)
    spatial, table = key.shape[-2] - num_k_exclude_rope, None
    tokens = grid[0] * grid[1]
    if attention.rotary:
        frames_of_keys(spatial, tokens, attention.rope_k_repeat)
        table = rotary_table_for(query, *grid, attention.rope_theta)
        query = rotate(query, table[chosen])
    working = torch.promote_types(query.dtype, torch.float32)
    query = query.to(working) / query.shape[-1] ** 0.5
    logits = [
        query @ (frame if table is None else rotate(frame, table)).to(working).mT
        for frame in key[:, :, :spatial].split(tokens, dim=2)
    ]
    pointers = query @ key[:, :, spatial:].to(working).mT
    return torch.cat([*logits, pointers], dim=-1).softmax(dim=-1)
