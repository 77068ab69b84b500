"""Masks whose edges were blurred, by antialiasing or by JPEG: which pixels are edge, and whose they are."""

from itertools import chain, combinations

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from .colour_codes import distinct

REACH = 2
"""How many pixels from an object its blurred edge may be."""

MAX_AREAS = 32
"""Where more colours than this fill areas, the image is no mask, and is left as it is."""


def is_soft(values: UInt8[np.ndarray, "H W"]) -> bool:
    """Whether a grey image is white on black but for its edges.

    Nearly all pixels are near black or near white, and those between are fewer than the white ones.
    """
    white = int(np.count_nonzero(values >= 224))
    between = int(np.count_nonzero(values >= 32)) - white
    return white > 0 and between <= min(white, 0.1 * values.size)


def has_rings(values: UInt8[np.ndarray, "H W"]) -> bool:
    """Whether a grey image was a JPEG once: several values are close to black, and to white."""
    distinct = np.unique(values)
    return all(
        np.count_nonzero((distinct >= low) & (distinct <= high)) >= 3 for low, high in ((1, 31), (224, 254))
    )


def without_edges(values: UInt8[np.ndarray, "H W c"]) -> UInt8[np.ndarray, "H W c"]:
    """The image with the pixels of blurred edges replaced by the nearest colour among those that fill areas.

    A colour fills an area where it covers 3 × 3 pixels somewhere. One that does not is an edge's where it is a
    mixture of some that do and differ much, and lies nowhere but beside them; else it is an object's own.
    """
    _, first, places = distinct(values)
    colours = values.reshape(-1, values.shape[-1])[first].astype(np.float64)
    filling = np.zeros(len(colours), bool)
    filling[places[_interior(places)]] = True
    ours = filling & colours.any(axis=1)
    if not ours.any() or filling.all() or ours.sum() > MAX_AREAS:
        return values
    areas = colours[filling | ~colours.any(axis=1)]
    if colours.any(axis=1).all():
        areas = np.concatenate([areas, np.zeros_like(areas[:1])])
    beside = _grown(ours[places])
    away = np.zeros(len(colours), bool)
    away[places[~beside]] = True
    edge = ~filling & colours.any(axis=1) & ~away & _mixed(colours, areas)
    nearest = areas[((colours[:, None] - areas) ** 2).sum(axis=-1).argmin(axis=1)]
    colours[edge] = nearest[edge]
    return colours.astype(np.uint8)[places]


def _interior(places: Int[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The pixels whose eight neighbours are the same as they are."""
    height, width = places.shape
    inner = places[1 : height - 1, 1 : width - 1]
    same = np.zeros(places.shape, bool)
    same[1 : height - 1, 1 : width - 1] = True
    for row in range(3):
        for column in range(3):
            shifted = places[row : height - 2 + row, column : width - 2 + column]
            same[1 : height - 1, 1 : width - 1] &= shifted == inner
    return same


def _grown(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The mask and all pixels within `REACH` of it."""
    for _ in range(REACH):
        padded = np.pad(mask, 1)
        mask = padded[:-2, 1:-1] | mask | padded[2:, 1:-1]
        padded = np.pad(mask, 1)
        mask = padded[1:-1, :-2] | mask | padded[1:-1, 2:]
    return mask


def _mixed(colours: Float[np.ndarray, "n c"], areas: Float[np.ndarray, "m c"]) -> Bool[np.ndarray, " n"]:
    """Which of the colours lie between two or three of the `areas`, all more than 64 apart."""
    mixed = np.zeros(len(colours), bool)
    for first, *others in chain(combinations(areas, 2), combinations(areas, 3)):
        sides = np.array(others) - first
        if min(np.linalg.norm(a - b) for a, b in combinations([first, *others], 2)) <= 64:
            continue
        shares = (colours - first) @ np.linalg.pinv(sides)
        near = np.abs(first + shares @ sides - colours).max(axis=1) <= 8
        mixed |= near & (shares >= -0.05).all(axis=1) & (shares.sum(axis=1) <= 1.05)
    return mixed
