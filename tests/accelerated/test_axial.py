"""Queries in memory space: rotated queries and keys, whatever the blocks, the tiles and the layout."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from axial_problems import HEAD_DIM, MEMORY_DIM, problem, rotated_keys
from cases import grids, lay_out, layouts, seeds
from checks import error
from live_bytes import LiveBytes
from memory_attention.accelerated import axial
from memory_attention.accelerated.axial import axial_attention
from memory_attention.accelerated.position import Places
from memory_attention.rules.memory_space import Tokens, queries_flops, queries_logits_flops
from memory_attention.tolerances import bound


@given(
    seed=seeds,
    grid=grids,
    counts=st.tuples(st.integers(0, 3), st.integers(0, 5)).filter(any),
    heads=st.integers(1, 3),
    objects=st.integers(1, 3),
    shared=st.booleans(),
    pieces=st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(1, 4)),
    scale=st.sampled_from([0.0, 1.0, 1e3]),
    theta=st.sampled_from([10000.0, 100.0]),
    layout=layouts,
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_it_is_rotation_and_softmax(
    seed, grid, counts, heads, objects, shared, pieces, scale, theta, layout, dtype
):
    (frames, placeless), (block, side, piece) = counts, pieces
    places = Places(*grid, frames, theta)
    given_ = problem(seed, places, placeless, heads, 1 if shared else objects, objects)
    query, *memories, weight, bias = (x.to(getattr(torch, dtype)) for x in given_)
    # Long keys stretch the rounding of float32 too far to tell right from wrong.
    query = query * (min(scale, 10.0) if dtype == "float32" else scale)
    memories = [
        torch.from_numpy(lay_out(x.numpy(), "strided" if layout == "reversed" else layout)) for x in memories
    ]
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(axial, "PLACELESS_TILE", piece)
        result = axial_attention(query, *memories, weight, bias, places, block, side)
    truth = rotated_keys(query, *memories, weight, bias, places)
    assert result.dtype == getattr(torch, dtype)
    assert error(result.numpy(), truth) <= bound(dtype, 100.0 * max(1.0, scale))


@given(seed=seeds, heads=st.integers(1, 3), placeless=st.integers(1, 9))
def test_without_places_nothing_is_rotated(seed, heads, placeless):
    given_ = problem(seed, None, placeless, heads, objects=2, tokens=7)
    with torch.no_grad():
        result = axial_attention(*given_, None)
    assert error(result.numpy(), rotated_keys(*given_, None)) <= bound("float64", 100.0)


def test_the_largest_logit_is_kept_only_where_it_must_be(monkeypatch, threads):
    """No logit is larger than the longest query times the longest key: both are as long turned as unturned."""
    asked = []
    original = axial.is_bounded
    monkeypatch.setattr(axial, "is_bounded", lambda *given: (asked.append(original(*given)), asked[-1])[1])
    threads(1)
    places = Places(2, 3, 2, 100.0)
    query = torch.ones(1, 1, 6, 4)
    # Every key is (3, 3, 3, 3), and logits are at most 4 · 3 / 2, or 8.66 in base 2.
    memory, weight, bias = torch.ones(1, 14, 2), torch.ones(4, 2), torch.ones(4)
    for scale, bounded in ((6.9, True), (7.0, False), (float("nan"), False), (float("inf"), False)):
        with torch.no_grad():
            axial_attention(query * scale, memory, memory, weight, bias, places)
        assert asked.pop() == bounded, scale
    for token in (7, 13):
        long = memory.clone()
        long[0, token] = 31.0
        with torch.no_grad():
            axial_attention(query, long, memory, weight, bias, places)
        # 4 · 63 / 2 in base 2 is 182.
        assert asked.pop() is False


@pytest.mark.parametrize("where", ["query", "key", "value"])
def test_nan_goes_on_to_whom_it_reaches(where):
    places = Places(2, 3, 2, 100.0)
    query, key_memory, value_memory, weight, bias = problem(0, places, 2, objects=2)
    query = query.expand(2, -1, -1, -1).clone()
    {"query": query[:, 0], "key": key_memory, "value": value_memory}[where][1, 4, 0] = torch.nan
    with torch.no_grad():
        result = axial_attention(query, key_memory, value_memory, weight, bias, places)
    reached = torch.zeros(2, 1, 6, MEMORY_DIM, dtype=torch.bool)
    reached[1, :, 4 if where == "query" else slice(None), 0 if where == "value" else slice(None)] = True
    assert torch.equal(result.isnan(), reached)


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_a_thread_holds_no_more_than_its_block_and_tile(scale, threads):
    threads(1)
    places, block, side = Places(20, 30, 4, 100.0), 128, 8
    query, *given_ = (x.float() for x in problem(0, places, 0))
    with torch.no_grad(), LiveBytes(query, *given_) as live:
        axial_attention(query * scale, *given_, places, block, side)
    tokens, width, keys = 600, MEMORY_DIM + 1, 4 * 600
    turned, logits = block * width * (20 + 30), block * 4 * side * side
    arranged = 2 * keys * width
    tables = width * (20 + 30) * HEAD_DIM // 2
    # Queries are scaled, and turned; a table of sines and cosines stays from an earlier call or is made here.
    queries = 2 * tokens * HEAD_DIM
    assert live.largest < 4 * tokens * keys / 10
    assert live.peak <= 4 * (turned + logits + arranged + 2 * tables + 2 * queries + tokens * MEMORY_DIM + 10_000)


def test_a_flop_counter_sees_the_products_of_the_rules(threads):
    """And besides them the sum of the weights, and the products that find the longest key."""
    threads(2)
    places, placeless, heads = Places(3, 5, 2, 100.0), 7, 2
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        axial_attention(*problem(0, places, placeless, heads), places, 4, 2)
    tokens, width, keys = Tokens(15, 30, placeless, (3, 5)), MEMORY_DIM + 1, 30 + placeless
    counted = queries_flops(tokens, HEAD_DIM, MEMORY_DIM) + queries_logits_flops(tokens, MEMORY_DIM)
    weighting = 2 * 15 * keys * width
    longest = 2 * width * width * (HEAD_DIM + keys)
    assert counter.get_total_flops() == heads * (counted + weighting + longest)


def test_objects_that_share_a_frame_share_its_queries(threads):
    threads(1)
    places, objects = Places(3, 5, 2, 100.0), 3
    totals = []
    for frames_given in (1, objects):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            axial_attention(*problem(0, places, 0, 1, frames_given, objects), places)
        totals.append(counter.get_total_flops())
    # Queries for keys without a place are there, though there are none.
    once = queries_flops(Tokens(15, 30, 1, (3, 5)), HEAD_DIM, MEMORY_DIM)
    assert totals[1] - totals[0] == (objects - 1) * once
