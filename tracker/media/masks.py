"""Masks as people have them: whatever the image, the label of the object that each pixel belongs to.

Grey values and palette indices are labels. Colours are numbered, transparency is one object, and where the
only value is the brightest, white on black, the object has label 1. Label 0 is no object.
"""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8

from ...files import check_size
from .colour_codes import codes_of, distinct
from .edges import has_rings, is_soft, without_edges
from .images import MAX_PIXELS, check_colours, is_lossy, opened, upright

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_OBJECTS = 32
"""The most objects that are tracked at once; more of them are a photograph, or must be chosen among."""

MAX_COLOURS = 4096
"""More colours than this are a photograph."""


class Objects(NamedTuple):
    """The objects of a first frame: a mask [H,W] and a label for each; none of them is empty."""

    masks: Bool[np.ndarray, "K H W"]
    labels: tuple[int, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.masks.shape[1:]
        return height, width


def read_mask(path: Path, max_pixels: int = MAX_PIXELS) -> Int[np.ndarray, "H W"]:
    """The labels in a mask's file. Raises `FileNotFoundError`, or `ValueError` for what is no mask."""
    with opened(path, max_pixels) as image:
        return labels_of(upright(path, image), str(path), is_lossy(path, image))


def objects_of(
    labels: Int[np.ndarray, "H W"], chosen: Sequence[int] | None = None, where: str = "mask"
) -> Objects:
    """One mask for each label, or for each of the `chosen` ones.

    Raises `ValueError` where there is no object, where a chosen one is missing, or where there are too many.
    """
    present = np.unique(labels)
    present = present[present != 0]
    if len(present) == 0:
        raise ValueError(f"{where}: mask is empty, expected at least one pixel of the object")
    for label in chosen or ():
        if label not in present:
            raise ValueError(f"object is {label}, expected one of those in {where}: {_listed(present.tolist())}")
    taken = sorted(set(chosen)) if chosen else present.tolist()
    if len(taken) > MAX_OBJECTS:
        raise ValueError(
            f"{where}: has {len(taken)} different values besides 0, expected a mask, with at most {MAX_OBJECTS} "
            "objects of one value or colour each on black (object chooses some)"
        )
    check_room(len(taken), labels.shape, where)
    return Objects(np.stack([labels == label for label in taken]), tuple(taken))


def check_room(count: int, size: tuple[int, ...], where: str) -> None:
    """Raise `ValueError` where so many masks of this size, with their logits, are beyond the limit."""
    # A logit in float32, a pixel of a mask, and as much again while they are compared.
    check_size(count * prod(size) * 2 * 5, f"{where}: {count} object(s) of {' × '.join(map(str, size))} pixels")


def labels_of(image: "Image", where: str = "mask", lossy: bool = False) -> Int[np.ndarray, "H W"]:
    """The labels in an image of any of Pillow's modes; `lossy` where its values were not kept exactly (JPEG)."""
    check_colours(where, image)
    visible = _visible(image)
    if image.mode == "P" and _has_colours(image):
        return _of_palette(image, visible)
    if visible is not None:
        return _of_cutout(image, visible)
    if image.mode == "F":
        return _of_floats(np.asarray(image), where)
    if image.mode in ("1", "L", "I") or image.mode.startswith("I;16"):
        return _of_grey(np.asarray(image), where, lossy)
    if image.mode in ("P", "LA", "PA", "La"):
        return _of_grey(np.asarray(image.convert("L")), where, lossy)
    colours = np.asarray(image.convert("RGB"))
    spread = np.ptp(colours, axis=-1).max()
    # What JPEG does to grey pixels may colour them a little.
    if spread <= (24 if lossy else 0):
        return _of_grey(np.asarray(image.convert("L")) if lossy else colours[..., 0], where, lossy)
    if lossy:
        raise ValueError(
            f"{where}: is a JPEG in colours, which it does not keep; expected a PNG, or white on black"
        )
    return _of_colours(colours, where)


def _visible(image: "Image") -> Bool[np.ndarray, "H W"] | None:
    """Where an image is opaque; none where all of it is, or none of it."""
    if "transparency" not in image.info and "A" not in image.mode and "a" not in image.mode:
        return None
    alpha = np.asarray(image.convert("RGBA"))[..., 3]
    return alpha >= 128 if alpha.min() < 128 <= alpha.max() else None


def _has_colours(image: "Image") -> bool:
    return bool(np.ptp(_palette(image), axis=1).any())


def _palette(image: "Image") -> UInt8[np.ndarray, "n 3"]:
    return np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)


def _of_palette(image: "Image", visible: Bool[np.ndarray, "H W"] | None) -> Int[np.ndarray, "H W"]:
    """The indices; background is index 0, as DAVIS has it, or whatever index is black where that one is not."""
    indices, palette = np.asarray(image).astype(np.int32), _palette(image)
    used = np.unique(indices)
    black = [index for index in used if index < len(palette) and not palette[index].any()]
    if black and palette[0].any():
        # Labels start at 1: index 0 is an object here.
        indices = np.where(np.isin(indices, black), 0, indices + 1)
    if visible is None:
        return indices
    indices = np.where(visible, indices, 0)
    return indices if 0 < len(np.unique(indices)) - 1 <= MAX_OBJECTS else visible.astype(np.int32)


def _of_cutout(image: "Image", visible: Bool[np.ndarray, "H W"]) -> Int[np.ndarray, "H W"]:
    """One object where the image is opaque, or several where it has a few colours there."""
    colours = np.asarray(image.convert("RGBA"))[..., :3] * visible[..., None]
    codes = np.unique(codes_of(colours)[visible])
    if 1 < len(codes) <= MAX_OBJECTS:
        return _numbered(colours)
    return visible.astype(np.int32)


def _of_grey(values: np.ndarray, where: str, lossy: bool) -> Int[np.ndarray, "H W"]:
    """The values, but for masks whose edges were blurred: these are cut at half."""
    if values.dtype == bool:
        return values.astype(np.int32)
    if values.min() < 0:
        raise ValueError(f"{where}: has values from {values.min()}, expected 0 or more")
    if values.dtype == np.uint8:
        if (lossy or len(np.unique(values)) > 64 or has_rings(values)) and is_soft(values):
            return (values >= 128).astype(np.int32)
        if lossy:
            raise ValueError(
                f"{where}: has {len(np.unique(values))} different values, expected a mask: black and white, "
                "or a PNG with one value for each object"
            )
        values = without_edges(values[..., None])[..., 0]
    return white_is_one(values.astype(np.int32))


def white_is_one(labels: Int[np.ndarray, "H W"]) -> Int[np.ndarray, "H W"]:
    """The labels, or 0 and 1 where there is only black and white: 255, or 65535."""
    values = set(np.unique(labels).tolist()) - {0}
    return (labels > 0).astype(labels.dtype) if values in ({255}, {65535}) else labels


def _of_floats(values: np.ndarray, where: str) -> Int[np.ndarray, "H W"]:
    if not (np.isfinite(values).all() and (values == np.round(values)).all() and values.min() >= 0):
        raise ValueError(f"{where}: has fractions or values below 0, expected whole numbers, one for each object")
    if values.max() >= 2**31:
        raise ValueError(f"{where}: has values up to {values.max():.3g}, expected less than 2³¹")
    return values.astype(np.int32)


def _of_colours(colours: UInt8[np.ndarray, "H W 3"], where: str) -> Int[np.ndarray, "H W"]:
    codes = distinct(colours).codes
    if len(codes) > MAX_COLOURS:
        raise ValueError(f"{where}: has {len(codes)} different colours, expected a mask, not a photograph")
    return _numbered(colours if _of_davis(codes).any(axis=-1).all() else without_edges(colours))


def _of_davis(codes: Int[np.ndarray, " n"]) -> Bool[np.ndarray, "n 256"]:
    """For each of the colours, which of DAVIS's palette it is; that has 191 where PASCAL VOC has 192."""
    found = codes[:, None] >> np.array([16, 8, 0]) & 255
    return np.abs(found[:, None] - davis_palette()).max(axis=-1) <= 1


def _numbered(colours: UInt8[np.ndarray, "H W 3"]) -> Int[np.ndarray, "H W"]:
    """Colours as labels: their places in DAVIS's palette if all are there, else in the order of reading."""
    codes, first, places = distinct(colours)
    near = _of_davis(codes)
    numbers = near.argmax(axis=1).astype(np.int32)
    if not near.any(axis=1).all():
        objects = [index for index in np.argsort(first) if codes[index]]
        numbers[:] = 0
        numbers[objects] = np.arange(1, len(objects) + 1)
    return numbers[places]


def davis_palette() -> UInt8[np.ndarray, "256 3"]:
    """The colours of labels 0 … 255 in PASCAL VOC and DAVIS: the label's bits, dealt to red, green and blue."""
    labels = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            if 3 * bit + channel < 8:
                palette[:, channel] |= ((labels >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return palette


def _listed(labels: list[int], most: int = 12) -> str:
    shown = ", ".join(map(str, labels[:most]))
    return shown if len(labels) <= most else f"{shown}, … ({len(labels)})"
