"""Textures in other sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import seeds
from memory_attention.tracker.learning.photographs import TRAINING
from memory_attention.tracker.learning.textures import draw_textures, enlarged


@given(seed=seeds, length=st.integers(2, 9))
def test_a_texture_of_the_same_size_is_the_same(seed, length):
    texture = np.random.default_rng(seed).random((length, length, 3), np.float32)
    np.testing.assert_allclose(enlarged(texture, length), texture, atol=1e-6)


@given(length=st.integers(2, 30), side=st.integers(2, 30))
def test_a_slope_stays_a_slope(length, side):
    """Row r of n is at height (r + ½) / n, in both sizes, but for half a row at the ends."""
    height = (np.arange(length, dtype=np.float32) + 0.5) / length
    texture = np.stack(np.broadcast_arrays(height[:, None], height, 2 * height[:, None]), axis=-1)
    expected = np.clip((np.arange(side) + 0.5) / side, height[0], height[-1])
    found = enlarged(texture, side)
    for row, column in ((found[..., 0], found[..., 1]), (found[..., 2] / 2, found[..., 1])):
        np.testing.assert_allclose(row, np.broadcast_to(expected[:, None], (side, side)), atol=1e-5)
        np.testing.assert_allclose(column, np.broadcast_to(expected, (side, side)), atol=1e-5)


def test_resized_textures_have_the_sides_that_were_asked_for():
    pytest.importorskip("skimage", reason="the textures are cut out of scikit-image's photographs")
    textures = draw_textures(np.random.default_rng(3), TRAINING, [160, 96, 40], recolour=True, resize=1.6)
    assert [texture.shape for texture in textures] == [(side, side, 3) for side in (160, 96, 40)]
