"""The linear map backwards, worked by hand and measured."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cases import seeds
from finite_differences import check_gradients
from memory_attention.reference.backward.module import linear_backward, linear_forward, total
from memory_attention.reference.module import Linear


def linear_of(rng, channels_in, channels_out):
    linear = Linear(channels_in, channels_out)
    linear.load_parameters({n: rng.standard_normal(p.shape) for n, p in linear.named_parameters()})
    return linear


def test_linear_by_hand():
    linear = Linear(2, 1)
    linear.load_parameters({"weight": np.array([[3.0, -5.0]]), "bias": np.array([7.0])})
    out, cache = linear_forward(linear, np.array([[1.0, 2.0], [4.0, 0.5]]))
    np.testing.assert_array_equal(out, [[0.0], [16.5]])
    d_x, gradients = linear_backward(np.array([[1.0], [10.0]]), cache)
    np.testing.assert_array_equal(d_x, [[3.0, -5.0], [30.0, -50.0]])
    np.testing.assert_array_equal(gradients["weight"], [[41.0, 7.0]])
    np.testing.assert_array_equal(gradients["bias"], [11.0])


@given(seed=seeds, sizes=st.tuples(*[st.integers(1, 6)] * 4))
def test_linear_is_as_measured(seed, sizes):
    batch, tokens, channels_in, channels_out = sizes
    rng = np.random.default_rng(seed)
    linear, x = linear_of(rng, channels_in, channels_out), rng.standard_normal((batch, tokens, channels_in))
    d_out = rng.standard_normal((batch, tokens, channels_out))
    d_x, gradients = linear_backward(d_out, linear_forward(linear, x)[1])
    arrays = {"x": x, **dict(linear.named_parameters())}
    check_gradients(lambda: linear(x), arrays, {"x": d_x, **gradients}, d_out)


def test_the_gradients_of_all_uses_add_up_and_those_of_none_are_none():
    one, two = np.array([1.0, 2.0]), np.array([30.0, 50.0])
    assert total(None, None) is None
    np.testing.assert_array_equal(total(None, two), two)
    np.testing.assert_array_equal(total(one, None, two), [31.0, 52.0])
    np.testing.assert_array_equal(one, [1.0, 2.0])
