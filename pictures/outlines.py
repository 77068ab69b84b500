"""Objects drawn on frames: their outlines, and a frame with all of them painted on."""

import numpy as np
from jaxtyping import Bool, UInt8

from .colours import channels, object_colour


def outline(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The mask's border pixels."""
    padded = np.pad(mask, 1)
    return mask & ~(padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])


def outlines(masks: Bool[np.ndarray, "K H W"]) -> UInt8[np.ndarray, "H W 4"]:
    """The border pixels of each object in its colour, all others transparent; the first object on top."""
    picture = np.zeros((*masks.shape[1:], 4), np.uint8)
    for index in reversed(range(len(masks))):
        picture[outline(masks[index])] = (*channels(object_colour(index)), 255)
    return picture


def overlay(image: UInt8[np.ndarray, "H W 3"], masks: Bool[np.ndarray, "K H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The image with each object tinted, and outlined, in its colour."""
    painted = image.copy()
    for index, mask in enumerate(masks):
        colour = np.array(channels(object_colour(index)), np.float32)
        painted[mask] = (0.6 * painted[mask] + 0.4 * colour).round()
    lines = outlines(masks)
    drawn = lines[..., 3] > 0
    painted[drawn] = lines[drawn][:, :3]
    return painted
