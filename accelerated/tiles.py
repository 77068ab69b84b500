"""A CPU kernel for attention whose keys and values differ in width: softmax over tiles that fit the cache.

PyTorch's fused CPU kernel wants equal widths, and for others holds all N × M logits. Here blocks of
queries are spread over threads, and each meets the keys a tile at a time.
Source: Milakov and Gimelshein, 2018, arXiv:1805.02867; FlashAttention, Dao et al., 2022, arXiv:2205.14135.
"""

import functools
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from .tracing import is_watched

SAFE_EXPONENT = 60.0
"""2^60 times a million keys is far from float32's largest number, 2^128, and 2^-60 from its least.

Values between 1e-18 and 1e14 in magnitude have room there.
"""

LARGEST_TILE = 1024


def tiled_attention(
    query: Float[Tensor, "B H N d"],
    key: Float[Tensor, "B H M d"],
    value: Float[Tensor, "B H M c"],
    query_tile: int | None = None,
    key_tile: int | None = None,
) -> Float[Tensor, "B H N c"]:
    """softmax(q kᵀ / √d) v without gradients, on the CPU, in float32 or float64; the tiles follow the cache.

    Holds `query_tile` × `key_tile` logits a thread; the result depends on the tiles by rounding only. No
    logit is larger than the longest query times the longest key (Cauchy and Schwarz): where that is small,
    a block does without the largest logit.
    """
    batch, heads, num_queries, head_dim = query.shape
    threads = torch.get_num_threads()
    side = tile_side(threads, query.element_size())
    key_tile = key_tile or side
    query_tile = query_tile or min(side, math.ceil(batch * heads * num_queries / threads))
    result = query.new_empty(batch, heads, num_queries, value.shape[-1])
    # Logits in base 2, because on CPUs exp2 is faster than exp.
    scale = math.log2(math.e) / math.sqrt(head_dim)
    longest_key = key.norm(dim=-1).amax(dim=-1)

    def attend(job: tuple[int, int, int]) -> None:
        b, h, row = job
        rows = slice(row, row + query_tile)
        with torch.inference_mode():
            scaled = query[b, h, rows] * scale
            bounded = bool(scaled.norm(dim=-1).amax() * longest_key[b, h] <= SAFE_EXPONENT)
            _attend_block(scaled, key[b, h], value[b, h], key_tile, bounded, result[b, h, rows])

    jobs = [(b, h, row) for b in range(batch) for h in range(heads) for row in range(0, num_queries, query_tile)]
    if threads == 1 or len(jobs) == 1 or is_watched():
        for job in jobs:
            attend(job)
    else:
        with _making:
            workers = _workers(threads)
        list(workers.map(attend, jobs))
    return result


def _attend_block(
    query: Float[Tensor, "n d"],
    key: Float[Tensor, "M d"],
    value: Float[Tensor, "M c"],
    key_tile: int,
    bounded: bool,
    result: Float[Tensor, "n c"],
) -> None:
    """Write to `result` the values weighted by 2^(q·k), divided by the sum of the weights.

    Where the logits are `bounded` nothing can overflow, and softmax needs no largest logit; else the
    largest is kept as it grows, and what was summed before is corrected.
    """
    width = min(key_tile, len(key))
    buffer, ones = query.new_empty(len(query) * width), query.new_ones(width)
    total, weighted = query.new_zeros(len(query)), query.new_zeros(len(query), value.shape[-1])
    largest = query.new_full((len(query),), -math.inf)
    for column in range(0, len(key), key_tile):
        keys = key[column : column + key_tile]
        weights = buffer[: len(query) * len(keys)].view(len(query), len(keys))
        torch.mm(query, keys.T, out=weights)
        if not bounded:
            new_largest = torch.maximum(largest, weights.amax(dim=-1))
            weights.sub_(new_largest[:, None])
            correction = (largest - new_largest).exp2_()
            total *= correction
            weighted *= correction[:, None]
            largest = new_largest
        weights.exp2_()
        total.addmv_(weights, ones[: len(keys)])
        torch.addmm(weighted, weights, value[column : column + key_tile], out=weighted)
    torch.div(weighted, total[:, None], out=result)


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


_making = threading.Lock()


@functools.cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Threads for blocks of queries; inside each of them PyTorch itself uses one thread."""
    pool = ThreadPoolExecutor(threads, "tiles", initializer=lambda: torch.set_num_threads(1))
    started = threading.Barrier(threads)
    list(pool.map(lambda _: started.wait(), range(threads)))
    # The count belongs to each thread, but new threads take over the last one set.
    torch.set_num_threads(threads)
    return pool


def _start_anew() -> None:
    """A child process inherits the pool, but none of its threads, and perhaps a lock that was held."""
    global _making
    _making = threading.Lock()
    _workers.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
