"""Outlines, pixel by pixel: what touches the picture's edge is closed, and the first object is on top."""

import numpy as np
from hypothesis import given

from cases import seeds
from memory_attention.pictures.colours import channels, object_colour
from memory_attention.pictures.outlines import outline, outlines, overlay


def borders(mask):
    """A pixel of the mask is border where one of its four neighbours is not the mask, or not in the picture."""
    height, width = mask.shape
    border = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        border[y, x] = not all(0 <= v < height and 0 <= u < width and mask[v, u] for v, u in near)
    return border


@given(seed=seeds)
def test_outlines_of_several_objects(seed):
    rng = np.random.default_rng(seed)
    masks = rng.random((3, 6, 9)) < 0.8
    masks[1] = True
    image = rng.integers(0, 256, (6, 9, 3), np.uint8)
    kept = image.copy()
    expected = np.zeros((6, 9, 4), np.uint8)
    painted = image.astype(float)
    for index in (2, 1, 0):
        np.testing.assert_array_equal(outline(masks[index]), borders(masks[index]))
        expected[borders(masks[index])] = (*channels(object_colour(index)), 255)
    np.testing.assert_array_equal(outlines(masks), expected)
    for index in range(3):
        painted[masks[index]] = np.round(
            0.6 * painted[masks[index]] + 0.4 * np.array(channels(object_colour(index)))
        )
    drawn = overlay(image, masks)
    lines = expected[..., 3] > 0
    np.testing.assert_array_equal(drawn[lines], expected[lines][:, :3])
    assert np.abs(drawn[~lines] - painted[~lines]).max(initial=0) <= 1
    np.testing.assert_array_equal(image, kept)
