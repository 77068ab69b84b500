"""What the README shows is true: its Python runs and prints what it says, its commands are there."""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

from memory_attention import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_runs_and_prints_what_it_says():
    printed, namespace = io.StringIO(), {}
    with contextlib.redirect_stdout(printed):
        for block in blocks("python"):
            exec(block, namespace)
    promised = [
        line.split("#", 1)[1].strip() for b in blocks("python") for line in b.splitlines() if "print(" in line
    ]
    assert promised
    assert printed.getvalue().splitlines() == promised


def test_the_commands_are_there():
    commands = {
        command.name or command.callback.__name__.replace("_", "-") for command in cli.app.registered_commands
    }
    shown = re.findall(r"^memory-attention (\S+)", "\n".join(blocks("sh")), re.MULTILINE)
    assert shown
    assert set(shown) <= commands
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^make (\w+)", "\n".join(blocks("sh")), re.MULTILINE)) <= set(targets)


def test_the_links_and_folders_are_there():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).is_file(), target
    for folder in re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_the_figures_are_those_of_the_committed_results():
    """Every number in the tracker's table is in the result file, rounded; nothing was typed in."""
    results = json.loads((ROOT / "benchmarks" / "results" / "tracker.json").read_text())
    figures = results["figures"]["reference"]
    shown = README.split("<!-- figures: benchmarks/results/tracker.json -->")[1].split("```")[0]
    cells = [line.split("|")[2].strip() for line in shown.splitlines() if line.startswith("|")][2:]
    assert cells == [
        f"{figures['iou']:.3f}",
        f"{figures['iou_without_memory']:.3f}",
        f"{figures['iou_of_first_mask']:.3f}",
        f"{figures['hidden_found_empty']:.0%} of {figures['hidden_frames']}",
        ", ".join(f"{share:.1f} ×" for share in figures["attention_share"]),
        f"{results['agreement']:.6%}",
    ]


SHOWN = [
    "64×64, 1 memory, 1 object",
    "64×64, 7 memories, 1 object",
    "64×64, 1 memory, 3 objects",
    "64×64, 7 memories, 3 objects",
    "64×64, video of 16 frames, 1 object",
    "16×16, 1 memory, 1 object",
    "32×32, 7 memories, 1 object",
    "48×48, 7 memories, 1 object",
    "96×96, 7 memories, 1 object",
]


def measured():
    cases = json.loads((ROOT / "benchmarks" / "results" / "speed.json").read_text())["cases"]
    return {case["name"]: case["contenders"] for case in cases}


def speed_table():
    """The README's table as the committed result has it."""
    lines = [
        "| float32, two cores | against `transformers` | our plain path | the floor's rate | MB, theirs |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in SHOWN:
        fast, plain, peer = (measured()[name][who] for who in ("fast", "plain", "transformers"))
        times = f"{fast['times_faster_than_peer']:.2f} × ({fast['least']:.2f} to {fast['most']:.2f})"
        memory = f"{fast['peak_mb']:.0f}, {peer['peak_mb']:.0f}" if "peak_mb" in fast else ""
        ratio = plain["time"] / fast["time"]
        lines.append(f"| {name} | {times} | {ratio:.2f} × | {fast['share_of_floor']:.0%} | {memory} |")
    return "\n".join(lines)


def speed_text():
    """The README's sentences on the other contenders, likewise."""
    full = measured()["64×64, 7 memories, 1 object"]
    peer = full["transformers"]
    reference, textbook = (full[who]["time"] / peer["time"] for who in ("reference", "textbook"))
    kept = json.loads((ROOT / "benchmarks" / "results" / "kept_keys.json").read_text())
    saved = kept["share_of_a_frame_saved"]
    ours, theirs = full["fast"]["error"], peer["error"]
    return (
        f"On a frame with seven memories the NumPy reference takes {reference:.2f} × the time of `transformers`, "
        f"and the textbook formula {textbook:.2f} ×. Root mean square errors against the reference in float64: "
        f"ours {ours:.2e}, theirs {theirs:.2e}. Keeping every frame's rotated keys for the next frame would save "
        f"{saved['median']:.1%} of a frame for {kept['megabytes_kept']:.0f} MB more; it is not done."
    )


def test_the_speed_is_that_of_the_committed_results():
    assert speed_table() in README
    assert speed_text() in " ".join(README.split())


def test_the_committed_results_reach_what_the_tracker_must_reach():
    results = json.loads((ROOT / "benchmarks" / "results" / "tracker.json").read_text())
    assert results["agreement"] > 0.999
    assert set(results["figures"]) == {"reference", "accelerated"}
    for figures in results["figures"].values():
        assert (figures["clips"], figures["frames"]) == (200, 16)
        assert figures["iou"] >= 0.70
        assert figures["iou"] >= figures["iou_without_memory"] + 0.30
        assert figures["iou"] >= figures["iou_of_first_mask"] + 0.30
        assert min(figures["attention_share"]) >= 3


def test_the_suites_flags_are_known_without_a_path():
    line = next(line for line in "\n".join(blocks("sh")).splitlines() if line.startswith("pytest "))
    command = [sys.executable, "-m", *line.split(), "--collect-only", "-q"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
