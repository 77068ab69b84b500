"""The activations and their block backwards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import seeds
from finite_differences import check_gradients
from memory_attention.reference.backward.feed_forward import (
    ACTIVATIONS_BACKWARD,
    feed_forward_backward,
    feed_forward_forward,
    glu_backward,
    relu_backward,
)
from memory_attention.reference.feed_forward import ACTIVATIONS, feed_forward
from memory_attention.reference.module import Linear
from memory_attention.reference.norm import LayerNorm


def test_activations_by_hand():
    np.testing.assert_array_equal(relu_backward(np.array([3.0, 5.0, 7.0]), np.array([-1.0, 2.0, 0.0])), [0, 5, 0])
    # Gate ln 3 lets three quarters through: σ = 3/4, σ (1 − σ) = 3/16.
    result = glu_backward(np.array([16.0]), np.array([2.0, np.log(3)]))
    np.testing.assert_allclose(result, [12.0, 6.0], rtol=1e-14)


def test_every_activation_has_its_backward():
    assert list(ACTIVATIONS_BACKWARD) == list(ACTIVATIONS.values())


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(seed=seeds)
def test_activations_are_as_measured(name, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, 8)) * 2
    # relu has no slope at 0.
    x += np.where(x > 0, 0.01, -0.01)
    out = ACTIVATIONS[name](x)
    d_out = rng.standard_normal(out.shape)
    d_x = ACTIVATIONS_BACKWARD[ACTIVATIONS[name]](d_out, x)
    check_gradients(lambda: ACTIVATIONS[name](x), {"x": x}, {"x": d_x}, d_out)


@pytest.mark.parametrize("name", ["gelu", "glu"])
@given(seed=seeds, tokens=st.integers(1, 4))
def test_the_block_is_as_measured(name, seed, tokens):
    rng = np.random.default_rng(seed)
    parts = {"norm3": LayerNorm(6), "linear1": Linear(6, 10), "linear2": Linear(5 if name == "glu" else 10, 6)}
    for part in parts.values():
        part.load_parameters({n: rng.standard_normal(p.shape) for n, p in part.named_parameters()})
    x, d_out = rng.standard_normal((2, 2, tokens, 6))
    x += 2 * np.arange(6)
    step = (x, parts["norm3"], parts["linear1"], ACTIVATIONS[name], parts["linear2"])
    out, cache = feed_forward_forward(*step)
    np.testing.assert_array_equal(out, feed_forward(*step))
    d_x, gradients = feed_forward_backward(d_out, cache)
    arrays = {f"{at}.{n}": p for at, part in parts.items() for n, p in part.named_parameters()}
    check_gradients(lambda: feed_forward(*step), {"x": x, **arrays}, {"x": d_x, **gradients}, d_out)
