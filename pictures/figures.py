"""Figures, and how they are written."""

import os

from ..files import whole_file
from ..rules.packages import require

require("matplotlib", "a picture")

from matplotlib.figure import Figure  # noqa: E402

__all__ = ["Figure", "save"]


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as a PNG file, whole or not at all."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png")
