"""The different colours of an image, by a table of all 2²⁴: sorting forty million pixels takes gigabytes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8


class Distinct(NamedTuple):
    """The n different colours: their codes in order, where each first comes in reading, and each pixel's place."""

    codes: Int[np.ndarray, " n"]
    first: Int[np.ndarray, " n"]
    places: Int[np.ndarray, "H W"]


def distinct(values: UInt8[np.ndarray, "H W c"]) -> Distinct:
    """The different colours of an image of one to three channels."""
    pixels = codes_of(values)
    last = pixels.size - 1
    table = np.full(1 << 8 * values.shape[-1], -1, np.int32)
    # Of several pixels the one that is written last stays: so, backwards, the first.
    table[pixels.ravel()[::-1]] = np.arange(last, -1, -1, dtype=np.int32)
    codes = np.flatnonzero(table >= 0)
    first = table[codes]
    table[codes] = np.arange(len(codes), dtype=np.int32)
    return Distinct(codes, first, table[pixels])


def codes_of(values: UInt8[np.ndarray, "*rest c"]) -> Int[np.ndarray, "*rest"]:
    """Each colour as one number, 0 for black."""
    codes = values[..., 0].astype(np.int32)
    for channel in range(1, values.shape[-1]):
        codes <<= 8
        codes |= values[..., channel]
    return codes
