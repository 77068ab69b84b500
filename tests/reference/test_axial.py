"""Queries in memory space meet memories as rotated queries meet rotated keys."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cases import grids, seeds
from checks import error
from memory_attention.reference.attention import RoPEAttention, split_heads
from memory_attention.reference.axial import logits_from_memory_space, queries_in_memory_space
from memory_attention.rules.record import unrecorded
from memory_attention.tolerances import bound


@given(
    seed=seeds,
    grid=grids,
    counts=st.tuples(st.integers(0, 3), st.integers(0, 5)).filter(any),
    heads=st.sampled_from([1, 2, 3]),
    widths=st.tuples(st.sampled_from([4, 8, 12]), st.integers(1, 9)),
    theta=st.sampled_from([10000.0, 100.0, 7.0]),
)
def test_logits_are_those_of_rotated_keys(seed, grid, counts, heads, widths, theta):
    (height, width), (frames, pointers), (head_dim, memory_dim) = grid, counts, widths
    rng = np.random.default_rng(seed)
    tokens = height * width
    attention = RoPEAttention(
        heads * head_dim, heads, kv_in_dim=memory_dim, rope_theta=theta, rope_k_repeat=True, feat_sizes=(1, 1)
    )
    linear = attention.k_proj
    linear.weight, linear.bias = rng.standard_normal(linear.weight.shape), rng.standard_normal(linear.bias.shape)
    memory = rng.standard_normal((1, frames * tokens + pointers, memory_dim))
    query = rng.standard_normal((1, heads, tokens, head_dim))
    keys = split_heads(linear(memory), heads)
    query, keys = attention._encode(query, keys, pointers, grid, unrecorded)
    for head in range(heads):
        own = slice(head * head_dim, (head + 1) * head_dim)
        logits = logits_from_memory_space(
            query[0, head], memory[0], linear.weight[own], linear.bias[own], *grid, theta, pointers
        )
        assert error(logits, query[0, head] @ keys[0, head].T) <= bound("float64")


def test_one_pair_of_channels_by_hand():
    """The first pair of channels turns by a radian a column, the second by a radian a row."""
    query, weight, bias = (
        np.array([[1.0, 0, 0, 1]]),
        np.array([[2.0], [3], [5], [7]]),
        np.array([11.0, 13, 17, 19]),
    )
    u, v = queries_in_memory_space(query, weight, bias, height=2, width=2)
    c, s = np.cos(1), np.sin(1)
    np.testing.assert_allclose(u[0], [[2, 11], [2 * c - 3 * s, 11 * c - 13 * s]], rtol=1e-14)
    np.testing.assert_allclose(v[0], [[7, 19], [5 * s + 7 * c, 17 * s + 19 * c]], rtol=1e-14)
