"""The log of a training: a row of figures a step, as a CSV file."""

import csv
from pathlib import Path

from ..files import whole_file

LOG = "log.csv"
COLUMNS = ("step", "seconds", "learning_rate", "loss", "iou")


def read_log(path: Path, steps: int) -> list[dict[str, float]]:
    """The rows of the steps that the checkpoint knows. Raises `ValueError` for a file that is no such log."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{name: float(row[name]) for name in COLUMNS} for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a readable log ({error!r}); move it away to go on") from None
    return [row for row in rows if row["step"] <= steps]


def write_log(path: Path, rows: list[dict[str, float]]) -> None:
    """Write the rows, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
