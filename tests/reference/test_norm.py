"""The norm, worked by hand, and what it ignores."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cases import seeds
from checks import error
from memory_attention.reference.norm import layer_norm
from memory_attention.tolerances import EPSILON


def test_layer_norm_by_hand():
    # Mean 2, biased variance 1; the unbiased one would be 2.
    result = layer_norm(np.array([1.0, 3.0]), np.array([1.0, 10.0]), np.array([0.0, 5.0]))
    np.testing.assert_allclose(result, [-1 / np.sqrt(1.00001), 5 + 10 / np.sqrt(1.00001)], rtol=1e-14)


@given(seed=seeds, shift=st.floats(-100, 100), scale=st.floats(0.5, 50))
def test_layer_norm_ignores_a_shift_and_a_positive_scale(seed, shift, scale):
    x = np.random.default_rng(seed).standard_normal((3, 16))
    one, zero = np.ones(16), np.zeros(16)
    expected = layer_norm(x, one, zero, eps=0.0)
    np.testing.assert_allclose(layer_norm(x + shift, one, zero, eps=0.0), expected, atol=1e-10)
    np.testing.assert_allclose(layer_norm(x * scale, one, zero, eps=0.0), expected, atol=1e-10)
    # With eps the scale is ignored while the variance is far above it.
    np.testing.assert_allclose(layer_norm(x * scale, one, zero), expected, atol=1e-3)


@given(seed=seeds, mean=st.sampled_from([-700.0, 300.0, 1000.0]))
def test_half_precision_is_normalised_in_float32(seed, mean):
    """The squares of such numbers are beyond float16, and their differences below its last place."""
    rng = np.random.default_rng(seed)
    x = (mean + 300 * rng.standard_normal((3, 32))).astype(np.float16)
    weight, bias = rng.standard_normal((2, 32)).astype(np.float16)
    wide = x.astype(np.float64)
    truth = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5) * weight + bias
    result = layer_norm(x, weight, bias)
    assert result.dtype == np.float16
    assert error(result, truth) <= EPSILON["float16"]
