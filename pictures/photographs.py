"""The photographs that scikit-image ships in its wheel, as clips and tokens for the demonstration."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..configs import Config
from ..inputs import Inputs
from ..reference.position import sine_encoding_2d
from ..rules.packages import require

PHOTOGRAPHS = {name: f"{name}.png" for name in ("astronaut", "chelsea", "coffee")} | {"rocket": "rocket.jpg"}
PATCH = 16
POINTERS = 16


@dataclass(frozen=True)
class Clip:
    """Frames [T,S,S,3] in 0…1, the object's mask [T,S,S] in each, and the photograph they come from."""

    photograph: str
    frames: np.ndarray
    masks: np.ndarray


def load_photograph(name: str) -> np.ndarray:
    """A photograph [h,w,3] in 0…1 (float32), from the installed scikit-image. Raises `ValueError` for others."""
    if name not in PHOTOGRAPHS:
        raise ValueError(f"photograph is {name!r}, expected one of {', '.join(PHOTOGRAPHS)}")
    return read_photograph(PHOTOGRAPHS[name])


def read_photograph(file_name: str) -> np.ndarray:
    """A photograph of scikit-image's own folder, [h,w,3] or [h,w] in 0…1 (float32)."""
    require("skimage", "a photograph")
    import skimage
    from skimage.io import imread

    return imread(Path(skimage.__file__).parent / "data" / file_name).astype(np.float32) / 255


def moving_crop(photograph: str, frames: int, size: int) -> Clip:
    """Move a square crop of three quarters of the photograph across it, and scale it to `size` pixels.

    The object is a disc about the photograph's middle, which so wanders through the frames.
    """
    image = load_photograph(photograph)
    from skimage.transform import resize

    height, width = image.shape[:2]
    side = min(height, width) * 3 // 4
    rows = np.linspace(0, height - side, frames).round().astype(int)
    columns = np.linspace(width - side, 0, frames).round().astype(int)
    crops = [image[y : y + side, x : x + side] for y, x in zip(rows, columns, strict=True)]
    resized = np.stack([resize(crop, (size, size), anti_aliasing=True) for crop in crops])

    places = (np.arange(size) + 0.5) * side / size
    down = places[None, :, None] + rows[:, None, None] - height / 2
    right = places[None, None, :] + columns[:, None, None] - width / 2
    return Clip(photograph, resized.astype(np.float32), np.hypot(down, right) < side / 5)


def clip_inputs(config: Config, clip: Clip, seed: int = 0) -> Inputs:
    """Turn a clip into inputs: the last frame is the current one, those before it are its memories.

    16-pixel patches become C channels by one fixed random projection and C_m by another; the object's
    mask is added to a memory along a random direction. A frame's pointer is the mean of the object's
    tokens.
    """
    rng = np.random.default_rng(seed)
    d_model, memory_dim = config.memory_attention.d_model, config.memory_attention.memory_dim
    patches = _patches(clip.frames)
    tokens = _standardise(patches @ rng.standard_normal((patches.shape[-1], d_model)))
    cover = _patches(clip.masks[..., None].astype(np.float64)).mean(axis=-1)
    memories = tokens @ rng.standard_normal((d_model, memory_dim)) / np.sqrt(d_model)
    memories = memories + cover[..., None] * rng.standard_normal(memory_dim)

    count, height, width, _ = tokens.shape
    weight = cover[..., None] + 1e-6
    pointers = (tokens * weight).sum(axis=(1, 2)) / weight.sum(axis=(1, 2))
    recent = [pointers[max(count - 2 - age, 0)] for age in range(POINTERS)]
    pointer_tokens = np.concatenate(recent).reshape(-1, memory_dim)

    place = sine_encoding_2d(height, width, memory_dim).reshape(-1, memory_dim)
    memory = np.concatenate([memories[:-1].reshape(-1, memory_dim), pointer_tokens])
    memory_pos = np.concatenate([*[place] * (count - 1), np.zeros_like(pointer_tokens)])

    def one_object(array: np.ndarray) -> np.ndarray:
        return array.reshape(-1, 1, array.shape[-1]).astype(np.float32)

    return Inputs(
        curr=one_object(tokens[-1]),
        memory=one_object(memory),
        curr_pos=one_object(sine_encoding_2d(height, width, d_model)),
        memory_pos=one_object(memory_pos),
        num_obj_ptr_tokens=len(pointer_tokens),
        grid=(height, width),
    )


def _patches(images: np.ndarray) -> np.ndarray:
    """[T,S,S,c] as [T,S/16,S/16,16·16·c]."""
    count, size, _, channels = images.shape
    side = size // PATCH
    cut = images.reshape(count, side, PATCH, side, PATCH, channels)
    return cut.swapaxes(2, 3).reshape(count, side, side, PATCH * PATCH * channels)


def _standardise(tokens: np.ndarray) -> np.ndarray:
    return (tokens - tokens.mean(axis=(0, 1, 2))) / tokens.std(axis=(0, 1, 2))
