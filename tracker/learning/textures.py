"""Textures cut out of photographs, in other sizes and colours, so that few photographs look like many."""

import numpy as np
from jaxtyping import Float

from .photographs import photograph

Rng = np.random.Generator

LEAST_CONTRAST = 0.25


def draw_mix(rng: Rng) -> Float[np.ndarray, "3 3"]:
    """Draw how the channels of a photograph are mixed into new colours, from hardly to wildly."""
    strength = rng.uniform(0, 1)
    mix = (1 - strength) * np.eye(3) + strength * rng.uniform(-0.6, 1, (3, 3))
    return mix / np.maximum(mix.sum(axis=1, keepdims=True), 0.5)


def cut(rng: Rng, name: str, side: int) -> Float[np.ndarray, "P P 3"]:
    """A random square of a photograph, perhaps mirrored; not a copy."""
    image = photograph(name)
    top, left = (rng.integers(length - side + 1) for length in image.shape[:2])
    square = image[top : top + side, left : left + side]
    return square[:, ::-1] if rng.random() < 0.5 else square


def enlarged(texture: Float[np.ndarray, "Q Q 3"], side: int) -> Float[np.ndarray, "P P 3"]:
    """A texture drawn anew with so many pixels each way, straight lines between those that it has."""
    length = len(texture)
    place = (np.arange(side, dtype=np.float32) + 0.5) * np.float32(length / side) - 0.5
    low = np.clip(place.astype(int), 0, length - 2)
    share = np.clip(place - low, 0, 1)[:, None]
    rows = texture[low] + share[..., None] * (texture[low + 1] - texture[low])
    return rows[:, low] + share * (rows[:, low + 1] - rows[:, low])


def draw_colouring(
    rng: Rng, mean: Float[np.ndarray, "3"], mix: Float[np.ndarray, "3 3"] | None
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Draw how the colours c of a texture change, M c + s: their brightness, and with a `mix` all else too."""
    matrix, shift = np.eye(3), np.zeros(3)
    if mix is not None:
        matrix = mix * rng.uniform(0.5, 1.3)
        shift = mean - matrix @ mean + rng.uniform(-0.2, 0.2) + rng.uniform(-0.1, 0.1, 3)
    brightness = rng.uniform(0.75, 1.25)
    return (brightness * matrix).astype(np.float32), (brightness * shift).astype(np.float32)


def coloured(
    texture: Float[np.ndarray, "P Q 3"], colouring: tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]
) -> Float[np.ndarray, "P Q 3"]:
    """A texture in its new colours."""
    matrix, shift = colouring
    colours = texture.reshape(-1, 3) @ matrix.T + shift
    return np.clip(colours, 0, 1, out=colours).reshape(texture.shape)


def appearance(texture: Float[np.ndarray, "P Q 3"]) -> Float[np.ndarray, "4"]:
    """What a texture looks like from afar: its mean colour and its contrast."""
    colours = texture.reshape(-1, 3)
    return np.array([*colours.mean(axis=0), colours.mean(axis=1).std()])


def draw_textures(
    rng: Rng, names: tuple[str, ...], sides: list[int], recolour: bool, resize: float
) -> list[Float[np.ndarray, "P P 3"]]:
    """Cut textures of these sides (pixels) from different photographs, with another brightness each.

    They also look different from each other, if twenty tries find such. `recolour` changes their colours
    too, so that few photographs look like many; about half of the textures then share one mix of colours,
    since what is seen in one place often does. They are up to `resize` times larger or smaller.
    """
    left = list(names)
    shared = draw_mix(rng)
    textures: list[Float[np.ndarray, "P P 3"]] = []
    looks: list[Float[np.ndarray, "4"]] = []
    for side in sides:
        for _ in range(20):
            name = left[rng.integers(len(left))]
            scale = resize ** rng.uniform(-1, 1) if resize > 1 else 1
            length = min(round(side / scale), *photograph(name).shape[:2])
            texture = cut(rng, name, length)
            # A few pixels of the middle say enough.
            few = texture[length // 4 : -(length // 4) : 4, length // 4 : -(length // 4) : 4]
            mix = (shared if rng.random() < 0.5 else draw_mix(rng)) if recolour else None
            colouring = draw_colouring(rng, few.mean(axis=(0, 1)), mix)
            look = appearance(coloured(few, colouring))
            if all(np.linalg.norm(look - other) > LEAST_CONTRAST for other in looks):
                break
        left.remove(name)
        textures.append(coloured(texture if length == side else enlarged(texture, side), colouring))
        looks.append(look)
    return textures
