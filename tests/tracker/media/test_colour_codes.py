"""The different colours of an image, found without sorting its pixels."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from memory_attention.tracker.media.colour_codes import codes_of, distinct


@given(
    st.integers(1, 7),
    st.integers(1, 9),
    st.integers(1, 3),
    st.sampled_from([2, 5, 256]),
    st.integers(0, 2**32 - 1),
)
def test_they_are_what_sorting_finds(height, width, channels, values, seed):
    image = np.random.default_rng(seed).integers(0, values, (height, width, channels), np.uint8)
    weights = 256 ** np.arange(channels - 1, -1, -1)
    codes, first, places = np.unique(image.astype(int) @ weights, return_index=True, return_inverse=True)
    found = distinct(image)
    np.testing.assert_array_equal(codes_of(image), image.astype(int) @ weights)
    np.testing.assert_array_equal(found.codes, codes)
    np.testing.assert_array_equal(found.first, first)
    np.testing.assert_array_equal(found.places, places.reshape(height, width))


def test_a_large_image_takes_little_more_than_its_places():
    image = np.zeros((2000, 1500, 3), np.uint8)
    image[3:9, 4:700] = (200, 30, 90)
    tracemalloc.start()
    distinct(image)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The table of all colours, and a pixel's code, number and place: four bytes each.
    assert most <= 4 * 2**24 + (3 * 4 + 2) * image[..., 0].size
