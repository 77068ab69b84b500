"""The options of the tracker's commands."""

from pathlib import Path
from typing import Annotated

import typer

from .media.images import MAX_PIXELS
from .media.reading import MAX_FRAMES

SHOWN_CLIP = 24
"""A held-out clip in which the object is hidden for some frames and comes back."""

WeightsOption = Annotated[Path | None, typer.Option(help="A trained tracker [default: the bundled one]")]
FramesOption = Annotated[
    Path | None, typer.Option(help="Your own: a folder of images, a video (mp4, mov, gif, tif), or an .npz file.")
]
MaskOption = Annotated[
    Path | None,
    typer.Option(help="The objects in the first frame: white on black, or one value or colour for each."),
]
ObjectOption = Annotated[
    list[int] | None,
    typer.Option("--object", help="Label of an object to track; again for each [default: all of the mask]"),
]
EveryOption = Annotated[int | None, typer.Option(min=1, help="Take every so many-th frame [default: 1]")]
MaxPixelsOption = Annotated[
    int | None, typer.Option(min=1, help=f"The most pixels of a frame or a mask [default: {MAX_PIXELS}]")
]
MaxFramesOption = Annotated[
    int | None, typer.Option(min=2, help=f"The most frames of a video [default: {MAX_FRAMES}]")
]
ClipOption = Annotated[
    int | None, typer.Option(min=0, help=f"Which held-out clip, where there are no frames [default: {SHOWN_CLIP}]")
]
FolderOption = Annotated[Path, typer.Option(help="The folder to write to.")]
