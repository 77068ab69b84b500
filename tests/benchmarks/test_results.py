"""A run that was cut short goes on, and the committed results say what the README does."""

import json
from dataclasses import replace
from pathlib import Path

from memory_attention.benchmarks.cases import Setting
from memory_attention.benchmarks.contenders import CONTENDERS
from memory_attention.benchmarks.results import read_result, result

SETTING = Setting("tiny", "cpu", "float32", seed=0, turns=3)
COMMITTED = Path(__file__).parents[2] / "benchmarks" / "results" / "speed.json"
MEASURED = {case["name"]: case for case in json.loads(COMMITTED.read_text())["cases"]}


def test_a_run_that_was_cut_short_goes_on(tmp_path):
    done = [{"name": "one"}]
    path = tmp_path / "speed.json"
    assert read_result(path, SETTING) == []
    path.write_text(json.dumps(result(SETTING, done)))
    assert read_result(path, SETTING) == done
    for other in ({"seed": 1}, {"turns": 4}, {"kernel": "math"}, {"compiled": True}):
        assert read_result(path, replace(SETTING, **other)) == [], other


def test_the_committed_results_are_as_exact_as_the_peers():
    """At full size, against the reference in float64; the mean error of a million numbers is sure to a percent."""
    for seen in ("1 memory", "7 memories"):
        full = MEASURED[f"64×64, {seen}, 1 object"]["contenders"]
        assert full["fast"]["error"] <= 1.01 * full["transformers"]["error"]


def test_the_committed_results_take_half_the_memory():
    full = MEASURED["64×64, 7 memories, 1 object"]["contenders"]
    assert full["fast"]["peak_mb"] <= full["transformers"]["peak_mb"] / 2


def test_the_committed_results_know_every_contender():
    assert {name for case in MEASURED.values() for name in case["contenders"]} <= set(CONTENDERS)
