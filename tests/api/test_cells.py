"""Pictures through the cells of a grid: means, covers, and small pictures of frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_attention.cells import cell_means, covered_cells, small_image, small_masks

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(grid=sizes, times=sizes, seed=st.integers(0, 99))
def test_whole_cells_are_means(grid, times, seed):
    picture = np.random.default_rng(seed).random((grid[0] * times[0], grid[1] * times[1], 3))
    blocks = picture.reshape(grid[0], times[0], grid[1], times[1], 3)
    np.testing.assert_allclose(cell_means(picture, grid), blocks.mean(axis=(1, 3)), rtol=1e-12)


@given(size=sizes, grid=sizes, seed=st.integers(0, 99))
def test_a_cell_sees_only_pixels_that_it_touches(size, grid, seed):
    picture = np.random.default_rng(seed).random(size)
    found = cell_means(picture, grid)
    for row in range(grid[0]):
        for column in range(grid[1]):
            ends = [
                (at * n // g, -(-(at + 1) * n // g)) for at, n, g in zip((row, column), size, grid, strict=True)
            ]
            touched = picture[slice(*ends[0]), slice(*ends[1])]
            assert touched.min() - 1e-12 <= found[row, column] <= touched.max() + 1e-12


def test_half_covered_cells_and_else_the_fullest():
    mask = np.zeros((6, 8), bool)
    mask[0:2, 0:3] = True
    np.testing.assert_array_equal(covered_cells(mask, (3, 4)), np.arange(12).reshape(3, 4) < 2)
    mask[:] = False
    mask[4, 5] = True
    np.testing.assert_array_equal(np.flatnonzero(covered_cells(mask, (3, 4))), [10])
    assert not covered_cells(np.zeros((6, 8), bool), (3, 4)).any()


def test_small_pictures_keep_their_form_and_colours():
    image = np.zeros((300, 1024, 3))
    image[:, 512:] = (1, 0.2, 0)
    small = small_image(image, "image")
    assert small.shape == (75, 256, 3)
    assert small.dtype == np.uint8
    np.testing.assert_array_equal(small[40, [10, 200]], [[0, 0, 0], [255, 51, 0]])
    own = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    np.testing.assert_array_equal(small_image(own, "image"), own)
    masks = small_masks(image[..., 0], "mask")
    assert masks.shape == (1, 75, 256)
    np.testing.assert_array_equal(masks[0], np.arange(256) >= np.full((75, 1), 128))


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((4, 5)), ValueError, r"images\[3\] has shape \(4, 5\), expected \[H,W,3\]"),
        (np.zeros((0, 5, 3)), ValueError, "expected"),
        (np.zeros((4, 5, 3), int), TypeError, "dtype int64, expected uint8, or floating"),
        (np.full((4, 5, 3), 255.0), ValueError, "colours from 255.0 to 255.0, expected 0 to 1"),
        (np.full((4, 5, 3), np.nan), ValueError, "colours from nan"),
    ],
)
def test_what_is_no_image(image, error, message):
    with pytest.raises(error, match=message):
        small_image(image, "images[3]")


def test_what_is_no_mask():
    with pytest.raises(ValueError, match=r"masks\[2\] has shape \(4,\), expected"):
        small_masks(np.zeros(4), "masks[2]")
