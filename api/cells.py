"""A picture seen through the cells of a coarser, or finer, grid."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

LONGEST = 256
"""The most pixels that a small picture has in a row or a column."""


def cell_means(picture: np.ndarray, grid: tuple[int, int]) -> Float[np.ndarray, "h w *c"]:
    """The mean of a picture [H,W,*c] in each cell of a (h, w) grid laid over it."""
    rows, columns = (_samples(size, cells) for size, cells in zip(picture.shape, grid, strict=False))
    sampled = picture[np.ix_(rows.ravel(), columns.ravel())]
    return sampled.reshape(*rows.shape, *columns.shape, *picture.shape[2:]).mean(axis=(1, 3))


def nearest_to_their_mean(places: Int[np.ndarray, "n 2"]) -> int:
    """Which of some places is in their middle."""
    return int(((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin())


def covered_cells(mask: Bool[np.ndarray, "H W"], grid: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The cells of which half or more is under the mask; where no cell is, the fullest; none of an empty mask."""
    cover = cell_means(mask, grid)
    return (cover > 0) & (cover >= min(0.5, cover.max()))


def small_image(image: Any, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """An image [H,W,3], uint8 or 0…1, that is no longer than `LONGEST`. Raises naming it where it is none."""
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"{name} has shape {image.shape}, expected [H,W,3]")
    if image.dtype != np.uint8:
        if image.dtype.kind != "f":
            raise TypeError(f"{name} has dtype {image.dtype}, expected uint8, or floating from 0 to 1")
        if not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(f"{name} has colours from {image.min()} to {image.max()}, expected 0 to 1, or uint8")
        image = image * 255
    return cell_means(image, small_size(image.shape)).round().astype(np.uint8)


def small_masks(masks: Any, name: str) -> Bool[np.ndarray, "K h w"]:
    """Masks [K,H,W], or one [H,W], as small as an image; raises `ValueError` naming them where they are none."""
    masks = np.asarray(masks)
    masks = masks[None] if masks.ndim == 2 else masks
    if masks.ndim != 3 or 0 in masks.shape:
        raise ValueError(f"{name} has shape {masks.shape}, expected [H,W] or [K,H,W]")
    size = small_size(masks.shape[1:])
    return np.stack([covered_cells(mask > 0, size) for mask in masks])


def small_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """The size of the small picture, of the same form; one that is small already keeps its own."""
    shrink = min(1.0, LONGEST / max(shape[:2]))
    return max(1, round(shape[0] * shrink)), max(1, round(shape[1] * shrink))


def _samples(size: int, cells: int) -> Int[np.ndarray, "cells s"]:
    """For each cell the pixels that lie in it, or where it is smaller than a pixel, that pixel."""
    each = -(-size // cells)
    return ((np.arange(cells * each) + 0.5) * size / (cells * each)).astype(int).reshape(cells, each)
