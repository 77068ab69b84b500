"""The norm backwards: as measured, and what it cannot change."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cases import seeds
from finite_differences import check_gradients
from memory_attention.reference.backward.norm import layer_norm_backward, layer_norm_forward
from memory_attention.reference.norm import layer_norm


@given(seed=seeds, tokens=st.integers(1, 5), channels=st.integers(3, 9), eps=st.sampled_from([1e-5, 0.5]))
def test_layer_norm_is_as_measured(seed, tokens, channels, eps):
    rng = np.random.default_rng(seed)
    x, d_out = rng.standard_normal((2, 2, tokens, channels))
    # As much spread in every token, so that no slope is steep.
    x += 2 * np.arange(channels)
    weight, bias = rng.standard_normal((2, channels))
    out, cache = layer_norm_forward(x, weight, bias, eps)
    np.testing.assert_array_equal(out, layer_norm(x, weight, bias, eps))
    d_x, gradients = layer_norm_backward(d_out, cache)
    arrays = {"x": x, "weight": weight, "bias": bias}
    check_gradients(lambda: layer_norm(x, weight, bias, eps), arrays, {"x": d_x, **gradients}, d_out)


@given(seed=seeds)
def test_a_gradient_neither_shifts_nor_scales_a_token(seed):
    """The norm ignores both, so nothing is to be gained by them."""
    rng = np.random.default_rng(seed)
    x, d_out = rng.standard_normal((2, 3, 16))
    d_x, _ = layer_norm_backward(d_out, layer_norm_forward(x, rng.standard_normal(16), np.zeros(16), 0.0)[1])
    np.testing.assert_allclose(d_x.sum(axis=-1), 0, atol=1e-10)
    np.testing.assert_allclose((d_x * x).sum(axis=-1), 0, atol=1e-10)
