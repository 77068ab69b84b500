"""A CPU kernel with queries in memory space: no key is projected or rotated.

A rotation is axial: half of a head's channels turn by the column x, half by the row y. And keys are linear in
their memories m, so q · R(x, y) (W m + b) = (u_x + v_y) · [m, 1]: K + 1 numbers a query for each column and
each row, whatever the number of memories. The derivation is in the reference.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .online_softmax import OnlineSoftmax, is_bounded, logit_scale, with_one
from .position import Places, rotary_table_for, rotate
from .threads import spread

QUERY_BLOCK = 320
TILE_SIDE = 32
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


def axial_attention(
    query: Float[Tensor, "#B H N d"],
    key_memory: Float[Tensor, "B M K"],
    value_memory: Float[Tensor, "B M K"],
    weight: Float[Tensor, "C K"],
    bias: Float[Tensor, " C"],
    places: Places | None,
    query_block: int | None = None,
    tile_side: int | None = None,
) -> Float[Tensor, "B H N K"]:
    """The means of `value_memory` by softmax(q kᵀ / √d), where the keys k are `key_memory` Wᵀ + b.

    Queries and keys are rotated by their `places`, but for the keys after those. Without gradients, on the
    CPU, in float32 or float64. Holds the logits of `query_block` queries and of `tile_side`² places of all
    frames a thread; the result depends on them by rounding only.
    """
    heads, num_queries, head_dim = query.shape[1:]
    key_parts = parts_of_keys(weight, bias, heads)
    if places is not None:
        query = rotate(query, rotary_table_for(query, places.height, places.width, places.theta))
    tables = axial_tables(key_parts, places)
    side = tile_side or TILE_SIDE
    objects = [_arranged(*memories, places, side) for memories in zip(key_memory, value_memory, strict=True)]
    longest_keys = [_longest_keys(memories, key_parts) for memories in objects]
    result = query.new_empty(len(objects), heads, num_queries, value_memory.shape[-1])
    block = min(query_block or QUERY_BLOCK, math.ceil(len(query) * heads * num_queries / torch.get_num_threads()))
    # What a thread writes to, block after block: memory that is new costs time.
    sizes = [table[0, ..., 0].numel() for table in tables] + [len(tile.values) for tile in objects[0].tiles[:1]]
    rooms: list[list[Tensor]] = []

    def attend(job: tuple[int, int, int]) -> None:
        frame, h, row = job
        rows = slice(row, row + block)
        room = rooms.pop() if rooms else [query.new_empty(size * block) for size in sizes]
        scaled = query[frame, h, rows] * logit_scale(head_dim)
        turned = _turned_queries(scaled, [table[h] for table in tables], room)
        unturned = key_parts[h] @ scaled.T
        # Objects that share a frame share its queries.
        for b in range(len(objects)) if len(query) == 1 else [frame]:
            softmax = OnlineSoftmax(scaled, value_memory.shape[-1], is_bounded(scaled, longest_keys[b][h]))
            for tile in objects[b].tiles:
                softmax.add(_logits(tile, turned, room[-1]), tile.values)
            for keys, values in objects[b].placeless:
                softmax.add(keys @ unturned, values)
            result[b, h, rows] = softmax.mean()
        rooms.append(room)

    first = range(0, num_queries, block)
    spread(attend, [(frame, h, row) for frame in range(len(query)) for h in range(heads) for row in first])
    return result


def parts_of_keys(weight: Float[Tensor, "C K"], bias: Float[Tensor, " C"], heads: int) -> Float[Tensor, "H K+1 d"]:
    """What each channel of a memory, and the bias, adds to the key of a head."""
    return torch.cat([weight, bias[:, None]], dim=1).unflatten(0, (heads, -1)).mT


def axial_tables(key_parts: Float[Tensor, "H K+1 d"], places: Places | None) -> list[Float[Tensor, "H _ K+1 d/2"]]:
    """The parts of keys as each column turns its half of the channels, and each row the other; none if none do."""
    if places is None or not places.frames:
        return []

    def turned(height: int, width: int, half: int) -> Float[Tensor, "H _ K+1 d/2"]:
        table = rotary_table_for(key_parts, height, width, places.theta).chunk(2, dim=1)[half]
        channels = key_parts.chunk(2, dim=-1)[half].contiguous()
        everywhere = channels[:, :, None].expand(-1, -1, height * width, -1)
        return rotate(everywhere, table).transpose(1, 2).contiguous()

    return [turned(1, places.width, 0), turned(places.height, 1, 1)]


def _turned_queries(
    query: Float[Tensor, "n d"], tables: list[Float[Tensor, "_ K+1 d/2"]], room: list[Tensor]
) -> list[Float[Tensor, "_ K+1 n"]]:
    """Queries in memory space: u for every column, and v for every row."""
    halves = query.chunk(2, dim=-1)
    return [
        _product(table.flatten(0, 1), half.T, place).unflatten(0, table.shape[:2])
        for table, half, place in zip(tables, halves, room, strict=False)
    ]


def _product(left: Float[Tensor, "a b"], right: Float[Tensor, "b c"], room: Tensor) -> Float[Tensor, "a c"]:
    """The matrix product, written to the beginning of `room`."""
    shape = len(left), right.shape[1]
    return torch.mm(left, right, out=room[: math.prod(shape)].view(shape))


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


def _logits(tile: _Tile, turned: list[Float[Tensor, "_ K+1 n"]], room: Tensor) -> Float[Tensor, "r*F*c n"]:
    """(u_x + v_y) · [m, 1] for the memories of a tile, written to the beginning of `room`."""
    (u, v), (height, frames, width, _) = turned, tile.keys.shape
    logits = room[: len(tile.values) * u.shape[-1]].view(height, frames, width, -1)
    torch.bmm(tile.keys.flatten(1, 2), v[tile.rows], out=logits.flatten(1, 2))
    # The same, column by column.
    by_column = logits.permute(2, 0, 1, 3).flatten(1, 2)
    keys_by_column = tile.keys.permute(2, 0, 1, 3).flatten(1, 2)
    torch.baddbmm(by_column, keys_by_column, u[tile.columns], out=by_column)
    return logits.flatten(0, 2)
