"""Image files: opened without being decoded, so that what is too large takes no memory, and turned upright."""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from ...rules.packages import require

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif")

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
"""What a file may be, whatever its name says: Pillow's other readers may start other programs."""

MAX_PIXELS = 40_000_000
"""The most pixels of an image that is decoded; a frame of an 8K video has 33 million."""

_ONE_AT_A_TIME = threading.Lock()


def images_in(folder: Path) -> Iterator[Path]:
    """The images of a folder by their names, in no order; hidden ones are passed over."""
    paths = folder.iterdir()
    return (path for path in paths if path.suffix.lower() in IMAGES and not path.name.startswith("."))


@contextlib.contextmanager
def opened(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator["Image"]:
    """Open an image file and check its size; its pixels are not read yet.

    Raises `FileNotFoundError`, or `ValueError` for a file that is no image or has more than `max_pixels`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    require("PIL", "reading an image")
    from PIL import Image

    # Pillow's own limit is one for the whole process; ours stands in its place.
    with _ONE_AT_A_TIME:
        theirs, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path, formats=FORMATS)
        except Exception as error:
            # Its readers raise many kinds; whatever the kind, the file could not be read.
            raise _unreadable(path, error) from None
        finally:
            Image.MAX_IMAGE_PIXELS = theirs
    with image:
        check_pixels(path, image.height, image.width, max_pixels)
        yield image


def check_pixels(path: Path, height: int, width: int, max_pixels: int) -> None:
    """Raise `ValueError` for an image of more than `max_pixels` pixels."""
    if height * width > max_pixels:
        raise ValueError(
            f"{path}: has {height} × {width} pixels, expected at most {max_pixels:,} (raised by max_pixels)"
        )


def is_lossy(path: Path, image: "Image") -> bool:
    """Whether the values of an image were not kept exactly: JPEG, also in a TIFF file, and most WebP."""
    if image.format == "WEBP":
        # Pillow does not say; the chunk of the pixels does, and comes first but for small ones.
        with path.open("rb") as file:
            return b"VP8L" not in file.read(4096)
    return image.format in ("JPEG", "MPO") or image.info.get("compression") in ("jpeg", "tiff_jpeg", "webp")


def check_colours(where: Path | str, image: "Image") -> None:
    """Raise `ValueError` for colours that Pillow would take for red, green and blue though they are none."""
    if image.mode in ("LAB", "HSV"):
        raise ValueError(f"{where}: has {image.mode} colours, expected an image in RGB or grey")


def colours(path: Path, image: "Image") -> UInt8[np.ndarray, "H W 3"]:
    """The image's red, green and blue. Raises `ValueError` for what is not of 8 bits, or of other colours."""
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"{path}: has more than 8 bits a channel, expected an 8-bit image")
    check_colours(path, image)
    return np.asarray(image.convert("RGB"))


def upright(path: Path, image: "Image") -> "Image":
    """The decoded image, turned as its EXIF says. Raises `ValueError` where the file is broken."""
    from PIL import ImageOps

    try:
        image.load()
        return ImageOps.exif_transpose(image)
    except Exception as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> ValueError:
    reason = str(error).replace(repr(str(path)), "it") or type(error).__name__
    return ValueError(f"{path}: not a readable image ({reason})")


def pages(path: Path, image: "Image", max_pixels: int) -> "Iterator[Image]":
    """An animation's frames, one after another, each of a size that fits; `ValueError` for a broken one."""
    for number in itertools.count():
        try:
            image.seek(number)
        except EOFError:
            return
        except Exception as error:
            raise _unreadable(path, error) from None
        check_pixels(path, image.height, image.width, max_pixels)
        yield image
