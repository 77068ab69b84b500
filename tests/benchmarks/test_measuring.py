"""A case is measured in every form and dtype."""

import statistics
from dataclasses import replace

import pytest

import memory_attention as ma
from memory_attention.benchmarks import cases
from memory_attention.benchmarks.cases import RIVALS, Case, Setting
from memory_attention.benchmarks.contenders import available
from memory_attention.benchmarks.measuring import fits_memory, measure, rows_of
from memory_attention.cost import needed_flops
from memory_attention.tolerances import bound

SETTING = Setting("tiny", "cpu", "float32", seed=0, turns=3)


def test_a_frame_is_measured_in_every_form():
    told = []
    config = ma.load_config("sam2.1_hiera_t")
    setting = replace(SETTING, config="sam2.1_hiera_t")
    names, _ = available(config, "cpu", compiled=False)
    measured = measure(Case(2, 1, 4, others=True), names, setting, told.append, memory=False)
    assert measured["name"] == "4×4, 2 memories, 1 object"
    expected = {"fast", "plain", "textbook", "reference", "transformers", "accelerate", "sam2"}
    assert set(measured["contenders"]) - {"onnx"} == expected
    tokens = 2 * 16 + 16 * 4
    assert measured["needed_gflop"] == needed_flops(config, 16, tokens, pointers=64) / 1e9
    for name, row in measured["contenders"].items():
        assert [second is None for second in row["seconds"]] == [False, name not in RIVALS, False]
        assert row["time"] == statistics.median(filter(None, row["seconds"]))
        assert row["lower"] <= row["times_faster_than_peer"] <= row["upper"]
        assert 0 < row["error"] < row["largest_error"] <= bound("float32", 20), name
        floor = measured["needed_gflop"] / measured["matrix_product_gflop_per_second"]
        assert row["share_of_floor"] == pytest.approx(floor / row["time"])
    assert measured["contenders"]["transformers"]["times_faster_than_peer"] == 1.0
    assert measured["contenders"]["transformers"]["noisy"] is False
    assert measured["matrix_product_spread"] >= 0
    assert 0 < measured["attention_share_of_floor"] < 10
    assert any("turn 3 of 3, fast" in step for step in told)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_precision_runs_on_a_cpu(half):
    setting = replace(SETTING, config="sam2.1_hiera_t", dtype=half, turns=1)
    names, _ = available(ma.load_config("sam2.1_hiera_t"), "cpu", compiled=False)
    measured = measure(Case(1, 1, 2, others=True), names, setting, memory=False)
    for name, row in measured["contenders"].items():
        assert row["largest_error"] <= bound(half, 10), name


def test_a_ratio_is_the_median_of_the_turns_and_of_the_sums_in_a_video():
    seconds = {"fast": [1.0, 2.0, 1.0], "transformers": [2.0, 6.0, 1.5], "plain": [2.0, None, 3.0]}
    rows = rows_of(Case(7, 1, 4), seconds)
    assert {name: row["times_faster_than_peer"] for name, row in rows.items()} == {
        "fast": 2.0,
        "transformers": 1.0,
        "plain": 0.75,
    }
    assert rows["plain"]["time"] == 2.5
    assert (rows["fast"]["lower"], rows["fast"]["upper"], rows["fast"]["noisy"]) == (1.75, 2.5, False)
    assert rows["plain"]["noisy"]
    del seconds["plain"]
    video = rows_of(Case(7, 1, 4, frames=4), seconds)["fast"]
    assert (video["time"], video["times_faster_than_peer"], video["upper"]) == (4.0, 9.5 / 4, 2.5)
    assert "lower" not in rows_of(Case(7, 1, 4), {"fast": [1.0]})["fast"]


def test_forward_and_backward_are_measured():
    setting = replace(SETTING, config="sam2.1_hiera_t", turns=1)
    measured = measure(Case(2, 1, 2, gradients=True), ["fast", "plain", "transformers"], setting)
    assert set(measured["contenders"]) == {"fast", "transformers"}
    assert "error" not in measured["contenders"]["fast"]


def test_whose_memory_is_measured():
    assert fits_memory(Case(7, 1, 64), "fast")
    assert not fits_memory(Case(7, 1, 64), "sam2")
    others = (Case(15, 1, 64), Case(7, 2, 4), Case(7, 1, 4, frames=5), Case(7, 1, 4, gradients=True))
    assert not any(fits_memory(case, "fast") for case in others)


def test_what_takes_long_has_no_first_call_and_no_truth(monkeypatch):
    monkeypatch.setattr(cases, "MOST_LOGITS", 1)
    told = []
    measured = measure(Case(2, 1, 4), ["fast", "plain"], SETTING, told.append)
    assert list(measured["contenders"]) == ["fast"]
    assert "error" not in measured["contenders"]["fast"]
    assert not any("first call" in step for step in told)
    assert None not in measured["contenders"]["fast"]["seconds"]
