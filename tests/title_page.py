"""The title page of the reference, and its tables."""

import re
from pathlib import Path

ROOM = Path(__file__).parents[1] / "reference"
PAGE = (ROOM / "README.md").read_text(encoding="utf-8")


def table(header, rows):
    """A table of Markdown, one line a row."""
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in [header, ["---"] * len(header), *rows])


def cells_under(heading, number=0):
    """The rows of the first table under a heading, or of the one of this number, without its header."""
    text = PAGE.split(f"\n{heading}\n")[1]
    lines = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)[number].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def code_in(cell):
    return re.findall(r"`([^`]+)`", cell)
