"""Video files, through PyAV: frames as they are decoded, and an overlay as it is painted."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ...rules.packages import require
from .images import MAX_PIXELS, check_pixels

VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")

# A playlist named .mp4 could name other files and addresses.
SAFE = {"protocol_whitelist": "file", "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The file and its first stream of pictures."""
    require("av", "a video file")
    import av

    try:
        container = av.open(str(path), options=SAFE)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable video ({_reason(error)})") from None
    with container:
        if not container.streams.video:
            raise ValueError(f"{path}: has no pictures, expected a video")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise ValueError(f"{path}: has pictures in a format that PyAV does not know, expected a video")
        yield container, stream


def clip_rate(path: Path) -> float:
    """Frames a second, 0 where the file does not say."""
    with _opened(path) as (_, stream):
        return float(stream.average_rate or 0)


def read_clip(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The frames of a video one by one, turned as the file says.

    Raises `ValueError` for a file that is no video, or naming the frame that cannot be decoded.
    """
    with _opened(path) as (container, stream):
        import av

        check_pixels(path, stream.height, stream.width, max_pixels)
        # What is broken would be made up from the frames before it.
        stream.codec_context.options = {"err_detect": "explode"}
        frames = container.decode(stream)
        number = 0
        while True:
            try:
                frame = next(frames, None)
            except (av.FFmpegError, OSError) as error:
                raise ValueError(f"{path}: frame {number} cannot be decoded ({_reason(error)})") from None
            if frame is None:
                return
            check_pixels(path, frame.height, frame.width, max_pixels)
            yield np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
            number += 1


class ClipWriter:
    """An mp4 file that takes frames [H,W,3] (uint8) one by one; odd sizes are filled up by a row or column."""

    def __init__(self, path: Path, rate: float) -> None:
        import av

        self.container = av.open(str(path), "w", format="mp4")
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = self.container.add_stream(codec, rate=Fraction(rate).limit_denominator(1000))
        assert isinstance(stream, av.VideoStream)
        self.stream = stream
        self.stream.pix_fmt = "yuv420p"
        # Its usual setting holds some fifty frames back.
        self.stream.options = {"preset": "veryfast"} if codec == "libx264" else {}
        self.started = False

    def add(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        """Write one more frame."""
        import av

        image = np.pad(image, [(0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)], mode="edge")
        if not self.started:
            self.stream.height, self.stream.width = image.shape[:2]
            self.started = True
        for packet in self.stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")):
            self.container.mux(packet)

    def close(self) -> None:
        """Write what is held back, and end the file."""
        for packet in self.stream.encode():
            self.container.mux(packet)
        self.container.close()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
