"""The attention backwards: as measured, and what it cannot see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import grids, seeds
from checks import error
from finite_differences import check_gradients
from memory_attention.reference.attention import Attention, RoPEAttention, scaled_dot_product_attention, softmax
from memory_attention.reference.backward.attention import (
    attention_backward,
    attention_forward,
    scaled_dot_product_attention_backward,
    scaled_dot_product_attention_forward,
    softmax_backward,
    softmax_forward,
)
from memory_attention.tolerances import bound


def test_softmax_by_hand():
    # Weights 1/4 and 3/4; the first key is better than the mean by 3/4 of 8.
    weights, cache = softmax_forward(np.array([0.0, np.log(3)]))
    np.testing.assert_allclose(weights, [0.25, 0.75], rtol=1e-14)
    np.testing.assert_allclose(softmax_backward(np.array([9.0, 1.0]), cache), [1.5, -1.5], rtol=1e-14)


@given(seed=seeds, keys=st.integers(2, 7))
def test_softmax_is_as_measured(seed, keys):
    logits, d_out = np.random.default_rng(seed).standard_normal((2, 3, keys))
    d_logits = softmax_backward(d_out, softmax_forward(logits)[1])
    check_gradients(lambda: softmax(logits), {"logits": logits}, {"logits": d_logits}, d_out)


@given(seed=seeds, sizes=st.tuples(*[st.integers(2, 6)] * 5))
def test_scaled_dot_product_attention_is_as_measured(seed, sizes):
    heads, queries, keys, width, value_width = sizes
    rng = np.random.default_rng(seed)
    shapes = {"query": (queries, width), "key": (keys, width), "value": (keys, value_width)}
    arrays = {name: rng.standard_normal((2, heads, *shape)) for name, shape in shapes.items()}
    d_out = rng.standard_normal((2, heads, queries, value_width))
    cache = scaled_dot_product_attention_forward(**arrays)[1]
    gradients = dict(zip(arrays, scaled_dot_product_attention_backward(d_out, cache), strict=True))
    check_gradients(lambda: scaled_dot_product_attention(**arrays), arrays, gradients, d_out)


@settings(max_examples=20)
@given(
    seed=seeds,
    grid=grids,
    frames=st.integers(1, 2),
    pointers=st.integers(0, 3),
    heads=st.sampled_from([1, 2, 4]),
    downsample_rate=st.sampled_from([1, 2]),
    kv_in_dim=st.sampled_from([None, 3]),
)
def test_rope_attention_is_as_measured(seed, grid, frames, pointers, heads, downsample_rate, kv_in_dim):
    rng = np.random.default_rng(seed)
    attention = RoPEAttention(
        8 * heads, heads, downsample_rate, kv_in_dim=kv_in_dim, rope_theta=100.0, rope_k_repeat=True
    )
    # A second pointer, so that there is a choice: softmax over one key has no slope.
    tokens, pointers = grid[0] * grid[1], pointers + 2
    parameters = {n: rng.standard_normal(p.shape) * 0.3 for n, p in attention.named_parameters()}
    attention.load_parameters(parameters)
    q, d_out = rng.standard_normal((2, 2, tokens, 8 * heads))
    k, v = rng.standard_normal((2, 2, frames * tokens + pointers, kv_in_dim or 8 * heads))
    out, cache = attention_forward(attention, q, k, v, pointers, grid)
    assert error(out, attention(q, k, v, pointers, grid)) <= bound("float64", 30)
    d_q, d_k, d_v, gradients = attention_backward(d_out, cache)
    arrays = {"q": q, "k": k, "v": v, **dict(attention.named_parameters())}
    gradients = {"q": d_q, "k": d_k, "v": d_v, **gradients}
    if tokens == 1:
        # The only place turns nothing, and a shift of all keys is not seen: the slope is zero.
        assert abs(gradients.pop("k_proj.bias")).max() < 1e-12
        del arrays["k_proj.bias"]
    check_gradients(lambda: attention(q, k, v, pointers, grid), arrays, gradients, d_out)


@given(seed=seeds)
def test_without_rotation_a_bias_of_all_keys_has_no_say(seed):
    rng = np.random.default_rng(seed)
    attention = Attention(8, 2, kv_in_dim=3)
    q, d_out = rng.standard_normal((2, 2, 5, 8))
    k, v = rng.standard_normal((2, 2, 7, 3))
    _, cache = attention_forward(attention, q, k, v)
    d_q, d_k, d_v, gradients = attention_backward(d_out, cache)
    assert abs(gradients["k_proj.bias"]).max() < 1e-12
    arrays = {"q": q, "k": k, "v": v}
    check_gradients(lambda: attention(q, k, v), arrays, {"q": d_q, "k": d_k, "v": d_v}, d_out)


def test_errors_are_those_of_the_step():
    attention, x = RoPEAttention(8, 2), np.ones((1, 6, 8))
    with pytest.raises(ValueError, match="neither feat_sizes"):
        attention_forward(attention, x, x, x)
    with pytest.raises(ValueError, match="need rope_k_repeat"):
        attention_forward(attention, x[:, :3], x, x, grid=(1, 3))
    with pytest.raises(ValueError, match="num_obj_ptr_tokens"):
        attention_forward(attention, x, x, x, 7, grid=(2, 3))
