"""The rotation backwards."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cases import grids, seeds
from finite_differences import check_gradients
from memory_attention.reference.backward.position import rotate_backward, rotate_forward
from memory_attention.reference.position import rotary_angles, rotate


def test_a_quarter_turn_by_hand():
    angles = np.full((1, 1), np.pi / 2)
    out, cache = rotate_forward(np.array([[3.0, 5.0]]), angles)
    np.testing.assert_allclose(out, [[-5.0, 3.0]], rtol=1e-14)
    # The second number out is the first one in: its gradient goes there.
    np.testing.assert_allclose(rotate_backward(np.array([[0.0, 7.0]]), cache), [[7.0, 0.0]], atol=1e-14)


@given(seed=seeds, grid=grids, quarters=st.integers(1, 4), theta=st.sampled_from([100.0, 10000.0]))
def test_rotation_is_as_measured(seed, grid, quarters, theta):
    x, d_out = np.random.default_rng(seed).standard_normal((2, 2, 3, grid[0] * grid[1], 4 * quarters))
    angles = rotary_angles(*grid, 4 * quarters, theta)
    _, cache = rotate_forward(x, angles)
    check_gradients(lambda: rotate(x, angles), {"x": x}, {"x": rotate_backward(d_out, cache)}, d_out)
