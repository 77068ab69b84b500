"""What `track` writes of a video: an array of masks, a mask image a frame, and the video with the masks on it."""

import contextlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from ..files import usual_permissions, whole_file
from ..pictures.outlines import overlay
from .media.clips import ClipWriter
from .media.masks import davis_palette
from .media.resizing import resize
from .tracked import TrackedVideo

MADE_BY = "memory-attention"

READABLE = 512
"""The longer side up to which the overlay of small frames is enlarged; a GIF, held in memory, is not larger."""


def overlay_name() -> str:
    """The overlay's file: mp4 where PyAV is installed, else gif."""
    return "overlay.mp4" if find_spec("av") else "overlay.gif"


def write_masks(
    tracked: TrackedVideo, output: Path, images: bool, advance: Callable[[], None] = lambda: None
) -> list[str]:
    """Write a tracked video to the folder `output` and return the names of what was written.

    `masks.npz` has `masks` [T,K,H,W] and the objects' `labels` [K]. With `images` also `masks/`, a PNG a frame
    whose values are labels and whose palette is DAVIS's, and the overlay. Each is written whole or not at all.
    """
    with contextlib.ExitStack() as stack:
        shape = (len(tracked.frames), len(tracked.labels), *tracked.size)
        writers = [stack.enter_context(_array(output / "masks.npz", shape, tracked.labels))]
        written = ["masks.npz"]
        if images:
            writers.append(stack.enter_context(_label_images(output / "masks", tracked.labels)))
            video = _clip if overlay_name().endswith(".mp4") else _animation
            writers.append(stack.enter_context(video(output / overlay_name(), tracked.source.rate)))
            written += ["masks/", overlay_name()]
        for name, image, logits in tracked.in_full():
            for write in writers:
                write(name, image, logits)
            advance()
    return written


Writer = Callable[[str, np.ndarray, Float[np.ndarray, "K H W"]], Any]


@contextlib.contextmanager
def _array(path: Path, shape: tuple[int, ...], labels: tuple[int, ...]) -> Iterator[Writer]:
    """An `.npz` file to which the masks are added frame by frame, so that never all of them are held."""
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("labels.npy", "w") as file:
            np.lib.format.write_array(file, np.array(labels))
        with archive.open("masks.npy", "w", force_zip64=True) as file:
            header = {"descr": "|b1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            yield lambda name, image, logits: file.write((logits > 0).tobytes())


@contextlib.contextmanager
def _label_images(folder: Path, labels: tuple[int, ...]) -> Iterator[Writer]:
    with whole_folder(folder) as temporary:

        def write(name: str, image: np.ndarray, logits: Float[np.ndarray, "K H W"]) -> None:
            target = temporary / f"{Path(name).stem}.png"
            # Frames may be called the same but for their suffix.
            _write_labels(temporary / f"{name}.png" if target.exists() else target, label_image(logits, labels))

        yield write


def label_image(logits: Float[np.ndarray, "K H W"], labels: tuple[int, ...]) -> Int[np.ndarray, "H W"]:
    """The label of the object with the largest logit at each pixel; 0 where none is positive."""
    largest = np.array(labels)[logits.argmax(axis=0)]
    return np.where(logits.max(axis=0) > 0, largest, 0)


def check_labels(labels: tuple[int, ...]) -> None:
    """Raise `ValueError` before the work for an object whose label a PNG cannot hold."""
    if max(labels) >= 65536:
        raise ValueError(f"object {max(labels)} has a label above 65535, which a PNG cannot hold")


def _write_labels(path: Path, labels: Int[np.ndarray, "H W"]) -> None:
    """A palette image, or one of 16 bits where a label needs them; marked as ours."""
    from PIL import Image, PngImagePlugin

    if labels.max() < 256:
        image = Image.fromarray(labels.astype(np.uint8))
        image.putpalette(davis_palette().ravel().tolist())
    else:
        image = Image.fromarray(labels.astype(np.uint16))
    made_by = PngImagePlugin.PngInfo()
    made_by.add_text("Software", MADE_BY)
    image.save(path, pnginfo=made_by)


@contextlib.contextmanager
def _clip(path: Path, rate: float) -> Iterator[Writer]:
    with whole_file(path) as temporary, contextlib.closing(ClipWriter(temporary, rate)) as clip:
        yield lambda name, image, logits: clip.add(_painted(image, logits))


@contextlib.contextmanager
def _animation(path: Path, rate: float) -> Iterator[Writer]:
    """A GIF, made smaller where its frames are large."""
    from PIL import Image

    pictures: list[Any] = []

    def write(name: str, image: np.ndarray, logits: Float[np.ndarray, "K H W"]) -> None:
        painted = _painted(image, logits)
        factor = max(1.0, max(painted.shape) / READABLE)
        height, width = (max(1, round(length / factor)) for length in painted.shape[:2])
        small = resize(painted, (height, width)).round().astype(np.uint8)
        pictures.append(Image.fromarray(small).convert("P", palette=Image.Palette.ADAPTIVE))

    with whole_file(path) as temporary:
        yield write
        first, *others = pictures
        first.save(temporary, "GIF", save_all=True, append_images=others, duration=round(1000 / rate), loop=0)


def _painted(image: np.ndarray, logits: Float[np.ndarray, "K H W"]) -> UInt8[np.ndarray, "sH sW 3"]:
    """The frame with its objects; each pixel of a small one becomes a square of s × s."""
    times = max(1, READABLE // max(image.shape[:2]))
    return overlay(_bytes(image), logits > 0).repeat(times, axis=0).repeat(times, axis=1)


def _bytes(image: np.ndarray) -> UInt8[np.ndarray, "H W 3"]:
    return image if image.dtype == np.uint8 else (image * 255).round().astype(np.uint8)


def check_own_masks(folder: Path) -> None:
    """Raise `ValueError` before the work where `folder` has what was not written here: it would be replaced."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise NotADirectoryError(f"output: {folder} is a file, expected a folder")
    from .media.images import opened

    for path in folder.iterdir():
        try:
            with opened(path) as image:
                ours = image.info.get("Software") == MADE_BY
        except (ValueError, OSError):
            ours = False
        if not ours:
            raise ValueError(f"output: {path} was not written by track, and would be lost; take another folder")


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`, which takes its place when all went well."""
    check_own_masks(path)
    target = Path(os.path.realpath(path))
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    former = temporary.with_name(temporary.name + "-former")
    try:
        yield temporary
        temporary.chmod(usual_permissions(0o777))
        if target.is_dir():
            target.rename(former)
        temporary.rename(target)
    finally:
        if former.is_dir() and not target.is_dir():
            former.rename(target)
        shutil.rmtree(former, ignore_errors=True)
        shutil.rmtree(temporary, ignore_errors=True)
