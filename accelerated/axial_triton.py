"""A Triton kernel with queries in memory space, for GPUs: the twin of `axial.py`.

A query meets the memories of a place in u + v, which is added in registers: all frames share the sum, and the
products are as wide as a memory.
"""

import math

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from .axial import axial_tables, parts_of_keys
from .online_softmax import logit_scale
from .position import Places, rotary_table_for, rotate

QUERIES, FRAMES = 32, 8
"""A program's queries, and the frames that it takes at once."""

LAUNCH = {"num_warps": 8, "num_stages": 2}
"""More warps would have too few registers each, more stages too little shared memory."""

LEAST_WIDTH = 16
"""The products of tensor cores are no narrower."""

COUNTS = ["num_queries", "num_keys", "height", "width", "frames", "heads", "own_queries"]
"""Sizes for which nothing is compiled anew: a video's first frames each have another."""


def axial_attention(
    query: Float[Tensor, "#B H N d"],
    key_memory: Float[Tensor, "B M K"],
    value_memory: Float[Tensor, "B M K"],
    weight: Float[Tensor, "C K"],
    bias: Float[Tensor, " C"],
    places: Places | None,
) -> Float[Tensor, "B H N K"]:
    """The means of `value_memory` by softmax(q kᵀ / √d), where the keys k are `key_memory` Wᵀ + b.

    Queries and keys are rotated by their `places`, but for the keys after those. Without gradients, on a GPU or
    in Triton's interpreter, in float32, float16 or bfloat16. Holds N (h + w) (K + 1) numbers a head.
    """
    heads, num_queries = query.shape[1:3]
    objects, num_keys, channels = key_memory.shape
    height, width, frames, _ = places or (1, 1, 0, 0.0)
    result = query.new_empty(objects, heads, num_queries, channels)
    # Triton starts on the device that is the current one.
    with torch.cuda.device_of(query):
        _attend[(math.ceil(num_queries / QUERIES), objects * heads)](
            *_queries_in_memory_space(query, parts_of_keys(weight, bias, heads).to(query.dtype), places),
            *(memory.to(query.dtype).contiguous() for memory in (key_memory, value_memory)),
            result,
            num_queries,
            num_keys,
            height,
            width,
            frames,
            heads,
            int(len(query) > 1),
            channels,
            max(LEAST_WIDTH, triton.next_power_of_2(channels)),
            QUERIES,
            columns_at_once(query.dtype),
            FRAMES,
            **LAUNCH,
        )
    return result


def columns_at_once(dtype: torch.dtype) -> int:
    """The columns of a row that fit the registers, with their u."""
    return 32 // dtype.itemsize


def _queries_in_memory_space(
    query: Float[Tensor, "#B H N d"], key_parts: Float[Tensor, "H K+1 d"], places: Places | None
) -> list[Tensor]:
    """u for every column, v for every row, and what keys without a place meet; then what each adds of the bias."""
    if places is not None:
        query = rotate(query, rotary_table_for(query, places.height, places.width, places.theta))
    query = query * logit_scale(query.shape[-1])
    tables = axial_tables(key_parts, places)
    unturned = _products(query, key_parts[:, None])
    # Where no key has a place, u and v are not read.
    turned = (
        [_products(*pair) for pair in zip(query.chunk(2, dim=-1), tables, strict=True)]
        if tables
        else [unturned] * 2
    )
    return [part for parts in zip(*turned, unturned, strict=True) for part in parts]


def _products(
    query: Float[Tensor, "#B H N d"], tables: Float[Tensor, "H _ K+1 d"]
) -> tuple[Float[Tensor, "#B H N _*K"], Float[Tensor, "#B H N _"]]:
    """Queries in memory space for each table, and what they meet of the bias."""
    channels = tables.shape[2] - 1
    return query @ tables[:, :, :channels].flatten(1, 2).mT, query @ tables[:, :, channels].mT


@triton.jit(do_not_specialize=COUNTS)
def _attend(
    u,
    v,
    unturned,
    u_bias,
    v_bias,
    unturned_bias,
    keys,
    values,
    result,
    num_queries,
    num_keys,
    height,
    width,
    frames,
    heads,
    own_queries,
    K: tl.constexpr,
    WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    COLUMNS: tl.constexpr,
    FRAMES: tl.constexpr,
):
    """A block of queries of one head meets its object's memories, some columns of a row at once in some frames.

    Then it meets those without a place.
    """
    group = tl.program_id(1).to(tl.int64)
    b = group // heads
    n = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    k = tl.arange(0, WIDTH)
    is_query, is_channel = n < num_queries, k < K
    # Objects that share a frame share its queries.
    asked = (b * own_queries * heads + group % heads) * num_queries + n
    keys += b * num_keys * K
    values += b * num_keys * K
    sums = tl.zeros((QUERIES, WIDTH), tl.float32)
    weight = tl.zeros((QUERIES,), tl.float32)
    largest = tl.full((QUERIES,), float("-inf"), tl.float32)
    num_placed = frames * height * width
    if num_placed > 0:
        for x0 in range(0, width, COLUMNS):
            x = x0 + tl.arange(0, COLUMNS)
            is_column = x < width
            at = asked[None, :] * width + x[:, None]
            there = is_query[None, :] & is_column[:, None]
            u_x = tl.load(u + at[:, :, None] * K + k, mask=there[:, :, None] & is_channel, other=0.0)
            bias_x = tl.load(u_bias + at, mask=there, other=0.0).to(tl.float32)
            for y in range(height):
                row = asked * height + y
                v_y = tl.load(v + row[:, None] * K + k, mask=is_query[:, None] & is_channel, other=0.0)
                bias_y = tl.load(v_bias + row, mask=is_query, other=0.0).to(tl.float32)
                query = u_x + v_y[None]
                bias = bias_x + bias_y[None]
                for f0 in range(0, frames, FRAMES):
                    f = f0 + tl.arange(0, FRAMES)
                    token = (f[None, :] * height + y) * width + x[:, None]
                    is_key = (f < frames)[None, :] & is_column[:, None]
                    key = tl.load(
                        keys + token[:, None, :] * K + k[:, None],
                        mask=is_key[:, None, :] & is_channel[:, None],
                        other=0.0,
                    )
                    logits = tl.dot(query, key, input_precision="ieee") + bias[:, :, None]
                    logits = tl.where(is_key[:, None, :], logits, float("-inf"))
                    logits = tl.reshape(tl.permute(logits, (1, 0, 2)), (QUERIES, COLUMNS * FRAMES))
                    value = tl.load(
                        values + token[:, :, None] * K + k, mask=is_key[:, :, None] & is_channel, other=0.0
                    )
                    value = tl.reshape(value, (COLUMNS * FRAMES, WIDTH))
                    sums, weight, largest = _add(sums, weight, largest, logits, value)
    if num_placed < num_keys:
        query = tl.load(unturned + asked[:, None] * K + k, mask=is_query[:, None] & is_channel, other=0.0)
        bias = tl.load(unturned_bias + asked, mask=is_query, other=0.0).to(tl.float32)
        for first in range(num_placed, num_keys, COLUMNS * FRAMES):
            token = first + tl.arange(0, COLUMNS * FRAMES)
            is_key = token < num_keys
            key = tl.load(
                keys + token[None, :] * K + k[:, None], mask=is_key[None, :] & is_channel[:, None], other=0.0
            )
            logits = tl.dot(query, key, input_precision="ieee") + bias[:, None]
            logits = tl.where(is_key[None, :], logits, float("-inf"))
            value = tl.load(values + token[:, None] * K + k, mask=is_key[:, None] & is_channel, other=0.0)
            sums, weight, largest = _add(sums, weight, largest, logits, value)
    mean = (sums / weight[:, None]).to(result.dtype.element_ty)
    written = group * num_queries + n
    tl.store(result + written[:, None] * K + k, mean, mask=is_query[:, None] & is_channel)


@triton.jit
def _add(sums, weight, largest, logits, values):
    """Online softmax: the sums of values weighted by 2^logit, those of the weights, and the largest logit."""
    now = tl.maximum(largest, tl.max(logits, 1))
    shrunk = tl.exp2(largest - now)
    weights = tl.exp2(logits - now[:, None])
    sums = tl.dot(weights.to(values.dtype), values, sums * shrunk[:, None], input_precision="ieee")
    return sums, weight * shrunk + tl.sum(weights, 1), now
