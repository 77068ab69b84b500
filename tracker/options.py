"""The options of the tracker's commands."""

from pathlib import Path
from typing import Annotated

import typer

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
EveryOption = Annotated[int, typer.Option(min=1, help="Take every so many-th frame.")]
MaxPixelsOption = Annotated[int, typer.Option(min=1, help="The most pixels of a frame or a mask.")]
MaxFramesOption = Annotated[int, typer.Option(min=2, help="The most frames of a video.")]
ClipOption = Annotated[int, typer.Option(min=0, help="Which held-out clip, where there are no frames.")]
FolderOption = Annotated[Path, typer.Option(help="The folder to write to.")]
