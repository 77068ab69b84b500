"""Figures, and how they are written."""

import functools
import os

from ..files import whole_file
from ..rules.packages import require

require("matplotlib", "a picture")

from matplotlib import font_manager, ft2font  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

__all__ = ["Figure", "as_drawn", "save"]


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as a PNG file, whole or not at all."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png")


def as_drawn(words: str) -> str:
    """A user's words for a title: no formula begins at a `$`, and what the font lacks is written as its code."""
    known = _characters()
    spelled = "".join(c if ord(c) in known or c == "\n" else ascii(c)[1:-1] for c in words)
    return spelled.replace("$", r"\$")


@functools.cache
def _characters() -> frozenset[int]:
    """The codes of the characters that matplotlib's own font has."""
    return frozenset(ft2font.FT2Font(font_manager.findfont("DejaVu Sans")).get_charmap())
