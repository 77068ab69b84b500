"""The log of a training: a row of figures a step, as a CSV file."""

import csv
from pathlib import Path

from ...files import whole_file

LOG = "log.csv"
COLUMNS = ("step", "seconds", "learning_rate", "loss", "iou")


def read_log(path: Path, steps: int | None = None) -> list[dict[str, float]]:
    """The rows up to `steps`, the last step that the checkpoint knows (none: all rows).

    Raises `ValueError` for a file that is no such log, or lacks some of these steps.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{name: float(row[name]) for name in COLUMNS} for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{path}: not a readable log ({error!r}); move it away to go on") from None
    if steps is None:
        return rows
    kept = [row for row in rows if row["step"] <= steps]
    # One that was moved away on the way begins later than at the first step.
    first = steps - len(kept) + 1
    if [row["step"] for row in kept] != list(range(first, steps + 1)):
        raise ValueError(f"{path}: lacks some of the steps up to {steps}; move it away to go on")
    return kept


def write_log(path: Path, rows: list[dict[str, float]]) -> None:
    """Write the rows, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()} | {"step": int(row["step"])})
