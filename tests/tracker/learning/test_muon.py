"""Muon's steps: about equally long in every direction of a weight matrix."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cases import seeds
from memory_attention.tolerances import bound
from memory_attention.tracker.learning.muon import LENGTH, Muon, orthogonalised

sides = st.integers(2, 7)


def orthonormal(rng, rows, columns):
    return np.linalg.qr(rng.normal(size=(rows, columns)))[0]


@given(seed=seeds, rows=sides, columns=sides, scale=st.sampled_from([1e-4, 1.0, 300.0]))
def test_the_singular_values_become_about_one_and_their_vectors_stay(seed, rows, columns, scale):
    rng = np.random.default_rng(seed)
    rank = min(rows, columns)
    left, right = orthonormal(rng, rows, rank), orthonormal(rng, columns, rank)
    # The least that the docstring speaks of: their root sum of squares is at most √7.
    values = np.exp(rng.uniform(np.log(np.sqrt(7) / 600), 0, rank))
    values /= values.max()
    found = orthogonalised(torch.from_numpy(scale * left * values @ right.T)).numpy()
    inner = left.T @ found @ right
    assert np.all((np.diag(inner) > 0.68) & (np.diag(inner) < 1.21))
    np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=bound("float64"))
    # Nothing beside them.
    np.testing.assert_allclose(left @ inner @ right.T, found, atol=bound("float64"))


@given(seed=seeds, rate=st.floats(1e-3, 0.5), decay=st.sampled_from([0.0, 0.3]), shape=st.permutations([3, 4, 5]))
def test_two_steps_are_those_of_the_formula(seed, rate, decay, shape):
    """Of a convolution, and a matrix without gradient that stays."""
    rng = np.random.default_rng(seed)
    start = rng.normal(size=(*shape, 2))
    weight, still = torch.from_numpy(start.copy()), torch.ones(2, 3)
    optimiser = Muon([weight, still], rate, decay, momentum=0.8)
    momentum, expected = 0.0, start
    for _ in range(2):
        gradient = rng.normal(size=start.shape)
        weight.grad = torch.from_numpy(gradient)
        optimiser.step()
        momentum = 0.8 * momentum + 0.2 * gradient
        ahead = (0.8 * momentum + 0.2 * gradient).reshape(len(start), -1)
        step = orthogonalised(torch.from_numpy(ahead)).numpy().reshape(start.shape)
        expected = (1 - rate * decay) * expected - rate * LENGTH * np.sqrt(max(ahead.shape)) * step
        np.testing.assert_allclose(weight.numpy(), expected, atol=bound("float64"))
    assert torch.equal(still, torch.ones(2, 3))


@pytest.mark.parametrize("shape", [(40, 9), (9, 40), (16, 16)])
def test_a_step_is_about_as_long_as_adamws(shape):
    """The root mean square of what it changes, in learning rates."""
    weight = torch.zeros(shape)
    weight.grad = torch.from_numpy(np.random.default_rng(6).normal(size=shape)).float()
    Muon([weight], 0.5).step()
    assert 0.6 * LENGTH < (weight / 0.5).square().mean().sqrt() < 1.3 * LENGTH
