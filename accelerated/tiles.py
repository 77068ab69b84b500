"""A CPU kernel for attention whose keys and values differ in width: softmax over tiles that fit the cache.

PyTorch's fused CPU kernel wants equal widths, and for others holds all N × M logits. Here blocks of
queries are spread over threads, and each meets the keys a tile at a time.
"""

import functools
import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from .online_softmax import OnlineSoftmax, is_bounded, logit_scale, with_one
from .threads import spread

LARGEST_TILE = 1024


def tiled_attention(
    query: Float[Tensor, "B H N d"],
    key: Float[Tensor, "B H M d"],
    value: Float[Tensor, "B H M c"],
    query_tile: int | None = None,
    key_tile: int | None = None,
) -> Float[Tensor, "B H N c"]:
    """softmax(q kᵀ / √d) v without gradients, on the CPU, in float32 or float64; the tiles follow the cache.

    Holds `query_tile` × `key_tile` logits a thread; the result depends on the tiles by rounding only.
    """
    batch, heads, num_queries, head_dim = query.shape
    threads = torch.get_num_threads()
    side = tile_side(threads, query.element_size())
    key_tile = key_tile or side
    query_tile = query_tile or min(side, math.ceil(batch * heads * num_queries / threads))
    result = query.new_empty(batch, heads, num_queries, value.shape[-1])
    longest_key = key.norm(dim=-1).amax(dim=-1)

    def attend(job: tuple[int, int, int]) -> None:
        b, h, row = job
        rows = slice(row, row + query_tile)
        scaled = query[b, h, rows] * logit_scale(head_dim)
        bounded = is_bounded(scaled, longest_key[b, h])
        _attend_block(scaled, key[b, h], value[b, h], key_tile, bounded, result[b, h, rows])

    spread(
        attend,
        [(b, h, row) for b in range(batch) for h in range(heads) for row in range(0, num_queries, query_tile)],
    )
    return result


def _attend_block(
    query: Float[Tensor, "n d"],
    key: Float[Tensor, "M d"],
    value: Float[Tensor, "M c"],
    key_tile: int,
    bounded: bool,
    result: Float[Tensor, "n c"],
) -> None:
    """Write to `result` the mean of the values weighted by softmax of q·k."""
    softmax = OnlineSoftmax(query, value.shape[-1], bounded)
    buffer = query.new_empty(min(key_tile, len(key)), len(query))
    for first in range(0, len(key), key_tile):
        tile = slice(first, first + key_tile)
        logits = torch.mm(key[tile], query.T, out=buffer[: len(key[tile])])
        softmax.add(logits, with_one(value[tile]))
    result.copy_(softmax.mean())


@functools.cache
def tile_side(threads: int, itemsize: int) -> int:
    """The side of a square tile of logits that takes a quarter of a thread's share of the last-level cache."""
    side = math.isqrt(last_level_cache() // threads // 4 // itemsize)
    return min(LARGEST_TILE, max(128, 2 ** int(math.log2(max(side, 1)))))


def last_level_cache() -> int:
    """Bytes of the largest cache of this machine's first core; 32 MB where the system does not say."""
    sizes = [
        int(path.read_text().strip().removesuffix("K")) * 1024
        for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
        if path.read_text().strip().endswith("K")
    ]
    return max(sizes, default=2**25)
