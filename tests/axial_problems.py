"""Problems for the kernels with queries in memory space, and what the reference makes of them."""

import numpy as np
import torch

from cases import drawn
from checks import error
from memory_attention.accelerated.position import Places
from memory_attention.reference.attention import RoPEAttention, scaled_dot_product_attention, split_heads
from memory_attention.rules.record import unrecorded
from memory_attention.tolerances import bound

HEAD_DIM, MEMORY_DIM = 8, 3


def problem(seed, places, placeless, heads=1, frames_given=1, objects=1, tokens=None):
    """Queries, memories as keys and as values, weight and bias."""
    tokens = tokens or places.height * places.width
    keys = (places.frames * tokens if places else 0) + placeless
    query = drawn(seed, frames_given, heads, tokens, HEAD_DIM)
    key_memory, value_memory = (drawn(seed + i, objects, keys, MEMORY_DIM) for i in (1, 2))
    return (
        query,
        key_memory,
        value_memory,
        drawn(seed + 3, heads * HEAD_DIM, MEMORY_DIM),
        drawn(seed + 4, heads * HEAD_DIM),
    )


def rotated_keys(query, key_memory, value_memory, weight, bias, places):
    """The means by the reference: project, rotate, attend."""
    query, key_memory, value_memory, weight, bias = (
        x.double().numpy() for x in (query, key_memory, value_memory, weight, bias)
    )
    heads = query.shape[1]
    key = split_heads(key_memory @ weight.T + bias, heads)
    if places is not None:
        height, width, frames, theta = places
        attention = RoPEAttention(len(weight), heads, rope_theta=theta, rope_k_repeat=True)
        placeless = key.shape[2] - frames * height * width
        query, key = attention._encode(query, key, placeless, (height, width), unrecorded)
    value = np.broadcast_to(value_memory[:, None], (*key.shape[:3], value_memory.shape[-1]))
    return scaled_dot_product_attention(query, key, value)


def check_means(attention, places, placeless, dtype, device="cpu", scale=1.0, seed=0, **sizes):
    """A kernel's means of a drawn problem's memories, beside the reference's."""
    query, *given = problem(seed, places, placeless, **sizes)
    rounded = [x.to(getattr(torch, dtype)) for x in (query * scale, *given)]
    with torch.no_grad():
        result = attention(*(x.to(device) for x in rounded), places)
    assert result.dtype == rounded[0].dtype
    truth = rotated_keys(*rounded, places)
    assert error(result.double().cpu().numpy(), truth) <= bound(dtype, 100.0 * max(1.0, scale))


def more_than_at_once(dtype):
    """One more than whole blocks of the Triton kernel's queries, columns, frames and memories without a place."""
    from memory_attention.accelerated.axial_triton import FRAMES, QUERIES, columns_at_once

    columns = columns_at_once(getattr(torch, dtype))
    on_grid = Places(3, columns + 1, FRAMES + 1, 100.0), columns * FRAMES + 1, {}
    return [on_grid, (None, 3, {"heads": 2, "objects": 2, "tokens": QUERIES + 1})]
