"""Resizing: nothing is shifted, constants stay, and no object is lost."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from memory_attention.tolerances import BOUNDS
from memory_attention.tracker.media.resizing import resampling_matrix, resize, resize_logits, resize_mask

LENGTHS = st.integers(1, 40)
SIZES = st.tuples(LENGTHS, LENGTHS)


def draw(seed, *shape):
    return np.random.default_rng(seed).random(shape)


def resized(image, size):
    return resize(image, size, np.float64)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=BOUNDS["float64"])


@given(SIZES, SIZES, st.floats(0.1, 1))
def test_a_constant_stays_constant(size, to, colour):
    found = resized(np.full((*size, 3), colour), to)
    assert found.shape == (*to, 3)
    close(found, colour)


@given(SIZES, st.integers(0, 99))
def test_the_same_size_is_the_same_image(size, seed):
    image = draw(seed, *size, 3)
    np.testing.assert_array_equal(resized(image, size), image)


@given(SIZES, SIZES, st.integers(0, 99))
def test_it_turns_and_mirrors_with_the_image(size, to, seed):
    image = draw(seed, *size)
    close(resized(image[::-1], to), resized(image, to)[::-1])
    close(resized(image[:, ::-1], to), resized(image, to)[:, ::-1])
    close(resized(image.T, to[::-1]), resized(image, to).T)


@given(SIZES, st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
def test_shrinking_by_whole_numbers_keeps_the_mean(size, down, across, seed):
    image = draw(seed, size[0] * down, size[1] * across, 3)
    close(resized(image, size).mean(axis=(0, 1)), image.mean(axis=(0, 1)))


@given(SIZES, SIZES, st.integers(0, 99))
def test_channels_are_resized_apart(size, to, seed):
    image = draw(seed, *size, 3)
    close(resized(image, to)[..., 1], resized(image[..., 1], to))


@given(st.integers(2, 200), st.integers(2, 200))
def test_a_ramp_keeps_its_place(length, to):
    """Away from the borders a straight line stays one, at the places of the pixels' centres.

    Where a line shrinks by a fraction, the triangles are sampled at unequal places: a tenth of a pixel.
    """
    centres = (np.arange(to) + 0.5) * length / to
    found = resampling_matrix(length, to) @ (np.arange(length) + 0.5)
    reach = max(1.0, length / to)
    inner = (centres > reach + 0.5) & (centres < length - reach - 0.5)
    exact = to >= length or length % to == 0
    np.testing.assert_allclose(found[inner], centres[inner], rtol=1e-9, atol=0 if exact else 0.1 * length / to)


@given(st.integers(3, 90), st.integers(3, 90), st.data())
def test_a_half_planes_edge_lands_in_its_place(length, to, data):
    """Pixels are the object's where their centres are, to within half of the coarser pixel."""
    cell = -(-length // to)
    assume(length >= 2 * cell)
    edge = data.draw(st.integers(cell, length - cell))
    mask = np.zeros((length, 2), bool)
    mask[:edge] = True
    found = resize_mask(mask, (to, 3))
    assert (found == found[:, :1]).all()
    assert abs(found[:, 0].sum() / to - edge / length) <= 0.5 / min(length, to) + 1e-9


def test_enlarged_logits_cross_zero_where_the_line_does():
    """Cells of 1 and −3: the line between their centres crosses zero at a quarter of the way."""
    logits = np.array([[[1.0, -3.0]], [[-1.0, -1.0]]], np.float32)
    found = resize_logits(logits, (2, 16)) > 0
    # Centres lie at 4 and 12 of 16 pixels; a quarter of the way is 6.
    assert found[0].tolist() == [[True] * 6 + [False] * 10] * 2
    assert not found[1].any()


@given(SIZES, SIZES, st.data())
def test_one_pixel_is_never_lost_and_stays_in_place(size, to, data):
    row, column = (data.draw(st.integers(0, length - 1)) for length in size)
    mask = np.zeros(size, bool)
    mask[row, column] = True
    found = np.argwhere(resize_mask(mask, to))
    assert len(found)
    centre = (np.array([row, column]) + 0.5) / size
    assert (np.abs((found + 0.5) / to - centre).min(axis=0) <= 0.5 / np.minimum(size, to) + 1e-9).all()


def test_an_empty_mask_stays_empty():
    assert not resize_mask(np.zeros((5, 7), bool), (3, 2)).any()
    assert resize_mask(np.ones((5, 7), bool), (3, 2)).all()
