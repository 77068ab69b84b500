"""A CPU kernel with queries in memory space: no key is projected or rotated.

A rotation is axial: half of a head's channels turn by the column x, half by the row y. And keys are linear in
their memories m, so q · R(x, y) (W m + b) = (u_x + v_y) · [m, 1]: K + 1 numbers a query for each column and
each row, whatever the number of memories. The derivation is in the reference's `memory_space.py`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .online_softmax import OnlineSoftmax, is_bounded, logit_scale, with_one
from .position import Places, rotary_table_for, rotate
from .threads import spread

QUERY_BLOCK = 256
TILE_SIDE = 16
"""A tile is so many rows and columns of all frames: its logits stay in the cache between its two products."""

PLACELESS_TILE = 1024


class _Tile(NamedTuple):
    """Memories as keys, row by row and there frame by frame, and in the same order as values."""

    rows: slice
    columns: slice
    keys: Float[Tensor, "r F c K+1"]
    values: Float[Tensor, "r*F*c K+1"]


class _Memories(NamedTuple):
    """The memories of one object: tiles of the grid, and pieces of those without a place."""

    tiles: list[_Tile]
    placeless: list[tuple[Float[Tensor, "m K+1"], Float[Tensor, "m K+1"]]]


class _Queries(NamedTuple):
    """Queries in memory space: u of every column, v of every row, and for the keys without a place."""

    columns: Float[Tensor, "w K+1 n"]
    rows: Float[Tensor, "h K+1 n"]
    placeless: Float[Tensor, "K+1 n"]


def axial_attention(
    query: Float[Tensor, "#B H N d"],
    key_memory: Float[Tensor, "B M K"],
    value_memory: Float[Tensor, "B M K"],
    weight: Float[Tensor, "C K"],
    bias: Float[Tensor, " C"],
    places: Places | None,
    query_block: int = QUERY_BLOCK,
    tile_side: int = TILE_SIDE,
) -> Float[Tensor, "B H N K"]:
    """The means of `value_memory` by softmax(q kᵀ / √d), where the keys k are `key_memory` Wᵀ + b.

    Queries and keys are rotated by their `places`, but for the keys after those. Without gradients, on the
    CPU, in float32 or float64. Holds the logits of `query_block` queries and of `tile_side`² places of all
    frames a thread; the result depends on them by rounding only.
    """
    heads, num_queries, head_dim = query.shape[1:]
    # What each channel of a memory, and the bias, adds to the key of a head.
    key_parts = torch.cat([weight, bias[:, None]], dim=1).unflatten(0, (heads, head_dim)).mT
    if places is not None:
        query = rotate(query, rotary_table_for(query, places.height, places.width, places.theta))
    columns, rows = axial_tables(key_parts, places)
    objects = [_arranged(*memories, places, tile_side) for memories in zip(key_memory, value_memory, strict=True)]
    longest_keys = [_longest_keys(memories, key_parts) for memories in objects]
    result = query.new_empty(len(objects), heads, num_queries, value_memory.shape[-1])

    def attend(job: tuple[int, int, int]) -> None:
        frame, h, row = job
        block = slice(row, row + query_block)
        scaled = query[frame, h, block] * logit_scale(head_dim)
        in_memory_space = _in_memory_space(scaled, columns[h], rows[h], key_parts[h])
        # Objects that share a frame share its queries.
        for b in range(len(objects)) if len(query) == 1 else [frame]:
            softmax = OnlineSoftmax(scaled, value_memory.shape[-1], is_bounded(scaled, longest_keys[b][h]))
            _attend_block(in_memory_space, objects[b], softmax)
            result[b, h, block] = softmax.mean()

    blocks = range(0, num_queries, query_block)
    spread(attend, [(frame, h, row) for frame in range(len(query)) for h in range(heads) for row in blocks])
    return result


def axial_tables(
    key_parts: Float[Tensor, "H K+1 d"], places: Places | None
) -> tuple[Float[Tensor, "H w K+1 d/2"], Float[Tensor, "H h K+1 d/2"]]:
    """The parts of keys as they are turned in every column, and in every row: the channels that turn there."""
    half = key_parts.shape[-1] // 2

    def turned(height: int, width: int, theta: float, channels: slice) -> Float[Tensor, "H n K+1 d/2"]:
        everywhere = key_parts[:, :, None].expand(-1, -1, height * width, -1)
        table = rotary_table_for(everywhere, height, width, theta)
        return rotate(everywhere, table)[..., channels].transpose(1, 2).contiguous()

    if places is None or not places.frames:
        return (key_parts[:, None, :, :half][:, :0],) * 2
    height, width, _, theta = places
    return turned(1, width, theta, slice(half)), turned(height, 1, theta, slice(half, None))


def _in_memory_space(
    query: Float[Tensor, "n d"],
    columns: Float[Tensor, "w K+1 d/2"],
    rows: Float[Tensor, "h K+1 d/2"],
    key_parts: Float[Tensor, "K+1 d"],
) -> _Queries:
    half = query.shape[-1] // 2
    u = columns.flatten(0, 1) @ query[:, :half].T
    v = rows.flatten(0, 1) @ query[:, half:].T
    return _Queries(
        u.unflatten(0, columns.shape[:2]), v.unflatten(0, rows.shape[:2]), key_parts @ query.T
    )


def _arranged(
    keys: Float[Tensor, "M K"], values: Float[Tensor, "M K"], places: Places | None, side: int
) -> _Memories:
    """The memories of an object as the products take them."""
    height, width, frames, _ = places or (1, 1, 0, 0.0)
    placed = frames * height * width
    on_grid = [memory[:placed].unflatten(0, (frames, height, width)).transpose(0, 1) for memory in (keys, values)]
    corners = [(row, column) for row in range(0, height, side) for column in range(0, width, side) if frames]
    tiles = []
    for row, column in corners:
        at = slice(row, row + side), slice(column, column + side)
        of_keys, of_values = (with_one(memory[at[0], :, at[1]]) for memory in on_grid)
        tiles.append(_Tile(*at, of_keys, of_values.flatten(0, 2)))
    rest = [with_one(memory[placed:]).split(PLACELESS_TILE) for memory in (keys, values) if placed < len(memory)]
    return _Memories(tiles, list(zip(*rest, strict=True)))


def _longest_keys(memories: _Memories, key_parts: Float[Tensor, "H K+1 d"]) -> Float[Tensor, " H"]:
    """The length of each head's longest key, which no rotation changes: |Wᵀ[m, 1]|² is a form in m."""
    products = key_parts @ key_parts.mT
    pieces = [tile.keys.flatten(0, 2) for tile in memories.tiles] + [keys for keys, _ in memories.placeless]
    squares = [((keys @ products) * keys).sum(dim=-1).amax(dim=-1) for keys in pieces]
    # A length of nothing may round to less than zero.
    return torch.stack(squares).amax(dim=0).clamp(min=0).sqrt()


def _attend_block(queries: _Queries, memories: _Memories, softmax: OnlineSoftmax) -> None:
    """Add all memories to the softmax of a block of queries."""
    block = queries.placeless.shape[-1]
    largest = max((tile.values.shape[0] for tile in memories.tiles), default=0)
    buffer = queries.placeless.new_empty(largest * block)
    for rows, columns, keys, values in memories.tiles:
        height, frames, width, _ = keys.shape
        logits = buffer[: len(values) * block].view(height, frames * width, block)
        torch.bmm(keys.flatten(1, 2), queries.rows[rows], out=logits)
        # The same logits, and keys, column by column.
        by_column = logits.unflatten(1, (frames, width)).permute(2, 0, 1, 3).flatten(1, 2)
        by_column.baddbmm_(keys.permute(2, 0, 1, 3).flatten(1, 2), queries.columns[columns])
        softmax.add(logits.flatten(0, 1), values)
    for keys, values in memories.placeless:
        softmax.add(keys @ queries.placeless, values)
