"""The encodings, worked by hand, and what a rotation preserves."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cases import grids, seeds
from memory_attention.reference.position import rotary_angles, rotate, sine_encoding_1d, sine_encoding_2d
from memory_attention.tolerances import EPSILON


def test_rotary_angles_by_hand():
    # Head dim 8, theta 10000: θ = 1, 10000^(−1/2) = 0.01. On a grid 3 wide token 5 is at x = 2, y = 1.
    angles = rotary_angles(2, 3, 8)
    np.testing.assert_allclose(angles[0], 0)
    np.testing.assert_allclose(angles[2], [2, 0.02, 0, 0])
    np.testing.assert_allclose(angles[3], [0, 0, 1, 0.01])
    np.testing.assert_allclose(angles[5], [2, 0.02, 1, 0.01])


def test_rotation_by_hand():
    # A quarter turn takes (1, 0) to (0, 1) and (0, 1) to (−1, 0).
    x = np.array([[1.0, 0.0, 0.0, 1.0]])
    np.testing.assert_allclose(rotate(x, np.full((1, 2), np.pi / 2)), [[0, 1, -1, 0]], atol=1e-15)


def test_sine_encodings_by_hand():
    # One place, four channels: sin and cos of 2π for y, then for x; 1e-6 keeps the angle just short of it.
    np.testing.assert_allclose(sine_encoding_2d(1, 1, 4)[0, 0], [0, 1, 0, 1], atol=1e-5)
    # Two rows: the first is at half a turn. Columns do not touch the first half of the channels.
    encoding = sine_encoding_2d(2, 3, 4)
    np.testing.assert_allclose(encoding[0, :, 0], np.sin(np.pi), atol=1e-5)
    np.testing.assert_allclose(encoding[0, :, 1], -1, atol=1e-5)
    np.testing.assert_allclose(encoding[:, 0, 3], np.cos(2 * np.pi / 3), atol=1e-5)
    # Time: sines first, then cosines, of 2 and of 2 / 10000^(2·1/4) = 0.02 twice each.
    expected = [np.sin(2), np.sin(2), np.sin(0.02), np.sin(0.02), np.cos(2), np.cos(2), np.cos(0.02), np.cos(0.02)]
    np.testing.assert_allclose(sine_encoding_1d(np.array([2.0]), 8)[0], expected, atol=1e-15)


@given(seed=seeds, grid=grids, quarters=st.integers(1, 6))
def test_rotation_preserves_norms(seed, grid, quarters):
    x = np.random.default_rng(seed).standard_normal((grid[0] * grid[1], 4 * quarters))
    rotated = rotate(x, rotary_angles(*grid, 4 * quarters))
    np.testing.assert_allclose(np.linalg.norm(rotated, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-12)


@given(seed=seeds, places=st.lists(st.integers(0, 9), min_size=4, max_size=4), shift=st.integers(1, 5))
def test_a_score_depends_on_the_offset_only(seed, places, shift):
    query, key = np.random.default_rng(seed).standard_normal((2, 8))
    angles = rotary_angles(16, 16, 8, 100.0).reshape(16, 16, 4)
    row, column, other_row, other_column = places

    def score(down, right):
        turned = rotate(query[None], angles[row + down, column + right][None])
        return turned[0] @ rotate(key[None], angles[other_row + down, other_column + right][None])[0]

    assert np.isclose(score(0, 0), score(shift, 0), atol=1e-12)
    assert np.isclose(score(0, 0), score(0, shift), atol=1e-12)


@given(seed=seeds, grid=grids, quarters=st.integers(1, 6))
def test_half_precision_is_turned_in_float32(seed, grid, quarters):
    """Rounded once, at the end: each number is within half a unit in its own last place."""
    x = np.random.default_rng(seed).standard_normal((grid[0] * grid[1], 4 * quarters)).astype(np.float16)
    angles = rotary_angles(*grid, 4 * quarters)
    truth, result = rotate(x.astype(np.float64), angles), rotate(x, angles)
    assert result.dtype == np.float16
    np.testing.assert_allclose(result, truth, rtol=0.501 * EPSILON["float16"], atol=1e-6)
