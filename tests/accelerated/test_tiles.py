"""Tiles are softmax, whatever their size, and counters see them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from cases import drawn, seeds
from checks import error
from live_bytes import LiveBytes
from memory_attention.accelerated import tiles
from memory_attention.accelerated.tiles import tiled_attention
from memory_attention.reference import attention as reference
from memory_attention.tolerances import bound


@given(
    seed=seeds,
    tiling=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    sizes=st.tuples(*[st.integers(1, 8)] * 6),
    scale=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
)
def test_tiles_of_any_size_are_softmax(seed, tiling, sizes, scale):
    """With logits that need no largest one, and with logits that do."""
    batch, heads, queries, keys, width, value_width = sizes
    query = drawn(seed, batch, heads, queries, width) * scale
    key, value = drawn(seed + 1, batch, heads, keys, width), drawn(seed + 2, batch, heads, keys, value_width)
    truth = reference.scaled_dot_product_attention(query.numpy(), key.numpy(), value.numpy())
    result = tiled_attention(query, key, value, *tiling).numpy()
    assert error(result, truth) <= bound("float64", max(30.0, 30 * scale))


def test_the_largest_logit_is_kept_only_where_it_must_be(monkeypatch, threads):
    asked = []
    original = tiles._attend_block
    monkeypatch.setattr(tiles, "_attend_block", lambda *a: (asked.append(a[4]), original(*a)))
    threads(1)
    query, key, value = torch.ones(1, 1, 2, 4), torch.ones(1, 1, 3, 4), torch.ones(1, 1, 3, 2)
    # The logits are 4 / 2 = 2; in base 2 they are 2.9, and 60 / 2.9 is between 20 and 21.
    for scale, bounded in ((20.0, True), (21.0, False), (float("nan"), False), (float("inf"), False)):
        tiled_attention(query * scale, key, value)
        assert asked.pop() == bounded, scale


@given(seed=seeds, long=st.tuples(st.integers(0, 2), st.integers(0, 7), st.sampled_from(["query", "key"])))
def test_one_long_query_or_key_among_short_ones(seed, long):
    """A logit of some hundred overflows float32 without the largest logit, whatever the others' lengths."""
    head, token, which = long
    query, key = drawn(seed, 2, 3, 8, 16).float() * 0.01, drawn(seed + 1, 2, 3, 9, 16).float()
    (query if which == "query" else key)[1, head, token] *= 1e6 if which == "query" else 1e5
    value = drawn(seed + 2, 2, 3, 9, 5).float()
    truth = reference.scaled_dot_product_attention(*(x.double().numpy() for x in (query, key, value)))
    result = tiled_attention(query, key, value, 4, 4).numpy()
    assert np.isfinite(result).all()
    # A long query's own row is a choice between logits too far apart for float32; the others' are as ever.
    others = [row for row in range(8) if row != token] if which == "query" else []
    assert error(result[:, :, others], truth[:, :, others]) <= bound("float32", 30) if others else True


@pytest.mark.parametrize("kind", ["query", "key"])
def test_the_bound_is_that_of_the_longest(kind, monkeypatch, threads):
    """The one long token is neither the first nor the last, and a mean over the others is far below it."""
    asked = []
    original = tiles._attend_block
    monkeypatch.setattr(tiles, "_attend_block", lambda *a: (asked.append(a[4]), original(*a)))
    threads(1)
    query, key, value = torch.ones(2, 3, 40, 4), torch.ones(2, 3, 50, 4), torch.ones(2, 3, 50, 2)
    (query if kind == "query" else key)[1, 2, 17] *= 21.0
    tiled_attention(query, key, value, query_tile=40)
    assert asked == [True] * 5 + [False]


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_tiles_hold_no_more_than_a_tile_of_logits(scale, threads):
    threads(1)
    query, key, value = scale * torch.ones(1, 1, 300, 4), torch.ones(1, 1, 500, 4), torch.ones(1, 1, 500, 2)
    with LiveBytes(query, key, value) as live:
        tiled_attention(query, key, value, query_tile=100, key_tile=50)
    # The whole matrix is 600 kB.
    assert live.largest <= 4 * 100 * 50


def test_tiles_pass_nan_on():
    query = torch.randn(1, 1, 4, 4)
    query[0, 0, 1] = torch.nan
    result = tiled_attention(query, torch.randn(1, 1, 6, 4), torch.randn(1, 1, 6, 2))
    assert result[0, 0, 1].isnan().all()
    assert not result[0, 0, [0, 2, 3]].isnan().any()


def test_tile_sides_follow_the_cache(monkeypatch):
    monkeypatch.setattr(tiles, "last_level_cache", lambda: 2**25)
    tile_side = tiles.tile_side.__wrapped__
    # 32 MB, two threads: a quarter of 16 MB is 1024 × 1024 numbers of four bytes, or 512 × 1024 of eight.
    assert tile_side(2, 4) == 1024
    assert tile_side(2, 8) == 512
    assert tile_side(8, 4) == 512
    assert tile_side(10_000, 4) == 128
    monkeypatch.setattr(tiles, "last_level_cache", lambda: 2**40)
    assert tile_side(1, 4) == tiles.LARGEST_TILE


def test_a_flop_counter_sees_the_tiles(threads):
    """Blocks of queries in other threads would be lost to it."""
    threads(2)
    query, key, value = torch.randn(2, 2, 40, 8), torch.randn(2, 2, 30, 8), torch.randn(2, 2, 30, 4)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        tiled_attention(query, key, value, 16, 16)
    # The sum of the weights is one more channel of the values.
    assert counter.get_total_flops() == 2 * 4 * 40 * 30 * (8 + 4 + 1)
