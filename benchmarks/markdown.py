"""The README's tables of what was measured, from the files in `benchmarks/results/`.

Run from a checkout to print them: `python -m memory_attention.benchmarks.markdown`.
"""

import json
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


def times(row: dict[str, Any]) -> str:
    """A contender's ratio as a cell."""
    ratio, _, quartiles = faster(row).partition(" ")
    return f"{ratio} × {quartiles}"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    """Print every table."""
    speed = json.loads((RESULTS / "speed.json").read_text())
    kept = json.loads((RESULTS / "kept_keys.json").read_text())
    recorded = json.loads((RESULTS / "recorded.json").read_text())
    print(speed_table(speed), *contenders_tables(speed), sep="\n\n")
    print("", kept_keys_text(kept), recorded_text(recorded), sep="\n")
    versions = RESULTS / "versions.json"
    if versions.is_file():
        print("", versions_table(json.loads(versions.read_text())), sep="\n")


if __name__ == "__main__":
    main()
