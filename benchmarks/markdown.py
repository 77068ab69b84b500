"""The README's tables of what was measured, from the files in `benchmarks/results/`.

Run from a checkout to print them: `python -m memory_attention.benchmarks.markdown`.
"""

import json
import statistics
from pathlib import Path
from typing import Any

from .contenders import PEER
from .table import faster

RESULTS = Path("benchmarks/results")


def speed_table(result: dict[str, Any]) -> str:
    """A row for every case: the fast path against the peer, the floor, and both their memory."""
    rows = []
    for case in result["cases"]:
        fast, peer = case["contenders"]["fast"], case["contenders"][PEER]
        memory = f"{fast['peak_mb']:.0f}, {peer['peak_mb']:.0f}" if "peak_mb" in fast else ""
        rows.append([case["name"], times(fast), f"{fast['share_of_floor']:.0%}", memory])
    return _table(["float32, two cores", "against `transformers`", "the floor's rate", "MB, theirs"], rows)


def contenders_tables(result: dict[str, Any]) -> list[str]:
    """A row for every contender, in each case that has them all."""
    return [_contenders_table(case) for case in result["cases"] if case["others"]]


def _contenders_table(case: dict[str, Any]) -> str:
    rows = [
        [f"`{name}`", f"{row['time']:.2f}", times(row) if name != PEER else "", f"{row['error']:.2e}"]
        for name, row in case["contenders"].items()
    ]
    return _table([case["name"], "seconds", "against `transformers`", "error"], rows)


def versions_table(result: dict[str, Any]) -> str:
    """A row for every combination of versions in which the suite ran."""
    rows = []
    for said in result["combinations"]:
        if "tests" in said:
            wrong = said["failures"] + said["errors"]
            passed = f"{said['tests'] - said['skipped'] - wrong} passed"
            counts = f"{passed}, {wrong} failed" if wrong else passed
            rows.append(
                [*(said.get(name, "") for name in ("python", "torch", "transformers", "onnxruntime")), counts]
            )
    return _table(["Python", "PyTorch", "`transformers`", "onnxruntime", "tests"], rows)


def kept_keys_text(figures: dict[str, Any]) -> str:
    """The sentence on kept keys."""
    saved = figures["share_of_a_frame_saved"]["median"]
    return (
        f"Keeping every frame's rotated keys for the next frame would save {saved:.1%} of a frame for "
        f"{figures['megabytes_kept']:.0f} MB more; it is not done."
    )


def recorded_text(figures: dict[str, Any]) -> str:
    """The sentence on what a recording costs."""
    cost = figures["cost"]
    return (
        f"Recording {figures['queries']} queries costs {cost['median']:.1%} of a frame with seven memories "
        f"(quartiles {cost['lower_quartile']:.1%} to {cost['upper_quartile']:.1%})."
    )


def tracker_table(bundled: dict[str, Any], others: list[dict[str, Any]], unseen: dict[str, Any]) -> str:
    """A row for every figure of the tracker: the bundled one, all seeds if there are more, and unseen photographs.

    The latter two are of the backend that each was measured in.
    """
    own = bundled["figures"]["reference"]
    seeds = [own, *(next(iter(other["figures"].values())) for other in others)]
    new = next(iter(unseen["figures"].values()))
    several = {f"{len(seeds)} seeds": seeds} if others else {}
    heads = {"held out": [own], **several, "unseen photographs": [new]}
    columns = list(heads.values())
    rows = [
        _tracker_row("mean IoU (region similarity J)", "iou", ".3f", columns),
        _tracker_row("… with an emptied memory", "iou_without_memory", ".3f", columns),
        _tracker_row("… without object pointers", "iou_without_pointers", ".3f", columns),
        _tracker_row("… of copying the first mask", "iou_of_first_mask", ".3f", columns),
        _tracker_row("IoU that object pointers add", "pointers_cost", ".4f", columns),
        _tracker_row("… its standard error over the clips", "pointers_cost_error", ".4f", columns),
        _tracker_row("frames of a hidden object found empty", "hidden_found_empty", ".0%", columns),
        ["… of so many", *("" if column is seeds else str(column[0]["hidden_frames"]) for column in columns)],
    ]
    for layer in range(len(own["attention_share"])):
        on_cells = f"attention on the object's memory cells over their area, layer {layer}"
        rows.append(_tracker_row(on_cells, "attention_share", ".1f", columns, layer))
        on_pointers = f"attention on object pointers, layer {layer}"
        rows.append(_tracker_row(on_pointers, "pointer_share", ".1%", columns, layer))
    size = f"{own['clips']} clips of {own['frames']} frames"
    return _table([size, *heads], rows)


def _tracker_row(
    title: str, name: str, form: str, columns: list[list[dict[str, Any]]], layer: int | None = None
) -> list[str]:
    """A figure, or the mean and standard deviation of several, for each column."""

    def cell(column: list[dict[str, Any]]) -> str:
        values = [figures[name] if layer is None else figures[name][layer] for figures in column]
        mean = f"{statistics.mean(values):{form}}"
        return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):{form}}"

    return [title, *map(cell, columns)]


def times(row: dict[str, Any]) -> str:
    """A contender's ratio as a cell."""
    ratio, _, quartiles = faster(row).partition(" ")
    return f"{ratio} × {quartiles}"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def read(name: str) -> dict[str, Any]:
    """One of the committed result files."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def other_seeds() -> list[dict[str, Any]]:
    """The committed results of the bundled tracker's recipe with other seeds, by their names."""
    return [read(path.stem) for path in sorted(RESULTS.glob("tracker_seed_*.json"))]


def main() -> None:
    """Print every table."""
    print(tracker_table(read("tracker"), other_seeds(), read("tracker_unseen")), end="\n\n")
    speed, kept, recorded = (read(name) for name in ("speed", "kept_keys", "recorded"))
    print(speed_table(speed), *contenders_tables(speed), sep="\n\n")
    print("", kept_keys_text(kept), recorded_text(recorded), sep="\n")
    if (RESULTS / "versions.json").is_file():
        print("", versions_table(read("versions")), sep="\n")


if __name__ == "__main__":
    main()
