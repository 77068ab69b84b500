"""The attention, worked by hand, and in tiles."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import seeds
from checks import error
from memory_attention.reference import attention as steps
from memory_attention.reference.attention import (
    RoPEAttention,
    scaled_dot_product_attention,
    tiled_scaled_dot_product_attention,
)
from memory_attention.tolerances import EPSILON, bound


def test_attention_by_hand():
    # Logits 0 and ln 3 after the division by √4: weights 1/4 and 3/4.
    query = np.array([[[[2.0, 0, 0, 0]]]])
    key = np.array([[[[0.0, 0, 0, 0], [np.log(3), 0, 0, 0]]]])
    value = np.array([[[[4.0], [8.0]]]])
    np.testing.assert_allclose(scaled_dot_product_attention(query, key, value), [[[[7.0]]]], rtol=1e-14)


def test_one_key_gives_its_value_back():
    # Softmax of a single logit is 1, wherever the query is and however the key is rotated.
    attention = RoPEAttention(embedding_dim=4, num_heads=1)
    rng = np.random.default_rng(0)
    query, key = rng.standard_normal((2, 1, 1, 4))
    expected = attention.out_proj(attention.v_proj(key))
    np.testing.assert_allclose(attention(query, key, key), expected, rtol=1e-12)


@given(
    seed=seeds,
    sizes=st.tuples(*[st.integers(1, 9)] * 4),
    query_tile=st.integers(1, 10),
    key_tile=st.integers(1, 10),
    scale=st.sampled_from([1.0, 100.0]),
)
def test_online_softmax_is_softmax_for_every_tiling(seed, sizes, query_tile, key_tile, scale):
    queries, keys, width, value_width = sizes
    rng = np.random.default_rng(seed)
    query = rng.standard_normal((2, 1, queries, width)) * scale
    key, value = rng.standard_normal((2, 1, keys, width)), rng.standard_normal((2, 1, keys, value_width))
    expected = scaled_dot_product_attention(query, key, value)
    result = tiled_scaled_dot_product_attention(query, key, value, query_tile, key_tile)
    assert error(result, expected) <= bound("float64", 10 * scale)


def test_tiles_are_taken_where_the_matrix_would_be_large(monkeypatch):
    """Its logits are counted over objects and heads; up to the limit it is the textbook form."""
    query, key, value = np.ones((1, 2, 5, 4)), np.ones((3, 2, 7, 4)), np.ones((3, 2, 7, 6))
    taken = []
    tiled = tiled_scaled_dot_product_attention
    monkeypatch.setattr(
        steps, "tiled_scaled_dot_product_attention", lambda *given: (taken.append(limit), tiled(*given))[1]
    )
    for limit in (3 * 2 * 5 * 7, 3 * 2 * 5 * 7 - 1):
        monkeypatch.setattr(steps, "TEXTBOOK_LOGITS", limit)
        steps.attend(query, key, value)
    assert taken == [3 * 2 * 5 * 7 - 1]


def test_the_largest_matrix_takes_some_megabytes():
    assert steps.TEXTBOOK_LOGITS * 4 <= 2**25


def test_tiles_hold_no_matrix():
    query, key, value = (np.ones((1, 1, count, 4), np.float32) for count in (3000, 4000, 4000))
    tracemalloc.start()
    tiled_scaled_dot_product_attention(query, key, value, 100, 100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The whole matrix is 48 MB.
    assert peak < 2e6


@given(seed=seeds, scale=st.sampled_from([1.0, 60.0]))
def test_half_precision_is_attended_in_float32(seed, scale):
    rng = np.random.default_rng(seed)
    query, key, value = (scale * rng.standard_normal((1, 2, n, 8)) for n in (5, 300, 300))
    halves = [array.astype(np.float16) for array in (query, key, value)]
    truth = scaled_dot_product_attention(*(half.astype(np.float64) for half in halves))
    for form in (scaled_dot_product_attention, tiled_scaled_dot_product_attention):
        result = form(*halves)
        assert result.dtype == np.float16
        assert error(result, truth) <= EPSILON["float16"]


@pytest.mark.parametrize("constant", [0.3, 7.0, -1000.0])
@pytest.mark.parametrize("keys", [3, 11, 77, 371])
def test_weights_of_half_precision_sum_to_one(keys, constant):
    """Equal weights of 1/n, all rounded the same way, would not: the mean of a constant is the constant."""
    query, key = np.zeros((1, 2, 5, 4), np.float16), np.ones((1, 2, keys, 4), np.float16)
    value = np.full((1, 2, keys, 3), constant, np.float16)
    for form in (scaled_dot_product_attention, tiled_scaled_dot_product_attention):
        assert (form(query, key, value) == value[0, 0, 0, 0]).all()
