"""What the README shows is true: its Python runs and prints what it says, its commands are there."""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

from memory_attention import cli
from memory_attention.benchmarks.cases import Case
from memory_attention.benchmarks.floor import needed
from memory_attention.benchmarks.markdown import (
    contenders_tables,
    kept_keys_text,
    other_seeds,
    recorded_text,
    speed_table,
    tracker_table,
    versions_table,
)
from memory_attention.configs import load_config

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def result(name):
    """A committed result file."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def blocks(language):
    """What is shown, but for what needs a user's own files: `test_readme_paths.py` runs that."""
    shown = README if language == "sh" else re.sub(r"<!-- path: run -->\n```.*?```", "", README, flags=re.DOTALL)
    return re.findall(rf"```{language}\n(.*?)```", shown, re.DOTALL)


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
    for target in re.findall(r"\]\((?!http|#)([^)]+)\)", README):
        assert (ROOT / target).is_file(), target
    for folder in re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_the_figures_are_those_of_the_committed_results():
    """The tracker's table is made of the result files; nothing was typed in."""
    bundled, unseen = result("tracker"), result("tracker_unseen")
    shown = README.split("<!-- figures: benchmarks/results/tracker.json -->\n")[1]
    assert shown.startswith(tracker_table(bundled, other_seeds(), unseen) + "\n\n")
    text = " ".join(shown.split())
    assert f"on {bundled['agreement']:.6%} of all pixels" in text
    assert f"trained for {int(bundled['made_by']['seconds']) / 60:.0f} minutes on two cores" in text


def test_the_seeds_are_of_one_recipe():
    """But for the seed, the commands are one, and the unseen photographs were shown to the bundled tracker."""
    made_by = result("tracker")["made_by"]
    assert result("tracker_unseen")["made_by"] == made_by
    others = [other["made_by"] for other in other_seeds()]
    assert {(each["config"], each["steps"]) for each in [made_by, *others]} == {
        (made_by["config"], made_by["steps"])
    }
    assert len({each["seed"] for each in [made_by, *others]}) == 1 + len(others)


def test_seeds_have_a_column_where_there_are_some():
    bundled, unseen = result("tracker"), result("tracker_unseen")
    heads, _, first = tracker_table(bundled, [unseen], unseen).splitlines()[:3]
    assert heads.endswith("| held out | 2 seeds | unseen photographs |")
    own, new = (next(iter(each["figures"].values()))["iou"] for each in (bundled, unseen))
    spread = f"{(own + new) / 2:.3f} ± {abs(own - new) / 2**0.5:.3f}"
    assert first.endswith(f"| {own:.3f} | {spread} | {new:.3f} |")
    assert {line.count("|") for line in tracker_table(bundled, [], unseen).splitlines()} == {4}


def test_the_speed_is_that_of_the_committed_results():
    speed, kept, recorded = (result(name) for name in ("speed", "kept_keys", "recorded"))
    shown = README.split("<!-- figures: benchmarks/results/speed.json -->\n")[1]
    assert shown.startswith(speed_table(speed) + "\n\n")
    tables = contenders_tables(speed)
    assert len(tables) == 2
    assert all(f"\n\n{table}\n\n" in shown for table in tables)
    for text in (kept_keys_text(kept), recorded_text(recorded)):
        assert text in " ".join(shown.split())


def test_the_versions_are_those_of_the_committed_results():
    versions = result("versions")
    shown = README.split("<!-- figures: benchmarks/results/versions.json -->\n")[1]
    assert shown.startswith(versions_table(versions) + "\n\n")


def test_what_many_objects_save_is_counted():
    config = load_config("sam2.1_hiera_t")

    def saved(memories, objects):
        alone, together = (needed(config, Case(memories, count, 64)) for count in (1, objects))
        return f"{1 - together / (objects * alone):.0%}"

    few, many = ([saved(memories, objects).rstrip("%") for objects in (3, 8)] for memories in (7, 1))
    text = (
        f"with {few[0]} to {few[1]}% fewer operations at seven memories, {many[0]} to {many[1]}% at one, "
        "for 3 to 8 objects."
    )
    assert text in " ".join(README.split())


def test_the_committed_results_reach_what_the_tracker_must_reach():
    results = result("tracker")
    assert results["agreement"] > 0.999
    assert set(results["figures"]) == {"reference", "accelerated"}
    for figures in results["figures"].values():
        assert (figures["clips"], figures["frames"]) == (200, 16)
        assert figures["iou"] >= 0.78
        assert figures["iou"] >= figures["iou_without_memory"] + 0.30
        assert figures["iou"] >= figures["iou_of_first_mask"] + 0.30
        assert figures["iou_without_memory"] <= 0.15
        assert min(figures["attention_share"]) >= 3
        assert max(figures["pointer_share"]) >= 0.05
        assert figures["pointers_cost"] >= max(0.02, 2 * figures["pointers_cost_error"])
        assert figures["hidden_found_empty"] >= 0.70


def test_every_seed_reaches_what_does_not_depend_on_it():
    costs = [result("tracker")["figures"]["reference"]["pointers_cost"]]
    for (figures,) in (other["figures"].values() for other in other_seeds()):
        assert figures["iou"] >= 0.78
        assert figures["iou_without_memory"] <= 0.15
        assert figures["hidden_found_empty"] >= 0.70
        assert figures["pointer_share"][-1] >= 0.9999
        assert figures["pointers_cost"] >= 2 * figures["pointers_cost_error"]
        costs.append(figures["pointers_cost"])
    text = f"How much pointers add depends on the seed: {min(costs):.3f} to {max(costs):.3f}."
    assert text in " ".join(README.split())


def test_the_suites_flags_are_known_without_a_path():
    line = next(line for line in "\n".join(blocks("sh")).splitlines() if line.startswith("pytest "))
    command = [sys.executable, "-m", *line.partition("#")[0].split(), "--collect-only", "-q"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_backend_of_no_name_is_refused_before_any_test():
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--backend",
        "onx",
        "--collect-only",
        "-q",
        "tests/rules/test_grids.py",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 4
    assert "--backend is 'onx', expected one of reference, accelerated" in done.stderr
