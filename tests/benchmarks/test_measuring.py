"""A case is measured in every form and dtype."""

from dataclasses import replace

import pytest

import memory_attention as ma
from memory_attention.benchmarks.cases import Case, Setting
from memory_attention.benchmarks.contenders import available
from memory_attention.benchmarks.measuring import measure
from memory_attention.cost import needed_flops
from memory_attention.tolerances import bound

SETTING = Setting("tiny", "cpu", "float32", seed=0, turns=3)


def test_a_frame_is_measured_in_every_form():
    told = []
    config = ma.load_config("sam2.1_hiera_t")
    setting = replace(SETTING, config="sam2.1_hiera_t")
    names = available("cpu", compiled=False)
    assert names == ["fast", "plain", "textbook", "reference", "transformers"]
    measured = measure(Case(2, 1, 4), names, setting, told.append, memory=False)
    assert measured["name"] == "4×4, 2 memories, 1 object"
    assert list(measured["contenders"]) == names
    tokens = 2 * 16 + 16 * 4
    assert measured["needed_gflop"] == needed_flops(config, 16, tokens) / 1e9
    for name, row in measured["contenders"].items():
        assert len(row["seconds"]) == 3
        assert row["time"] == sorted(row["seconds"])[1]
        assert row["least"] <= row["most"]
        assert 0 < row["error"] < row["largest_error"] <= bound("float32", 20), name
        floor = measured["needed_gflop"] / measured["matrix_product_gflop_per_second"]
        assert row["share_of_floor"] == pytest.approx(floor / row["time"])
    assert measured["contenders"]["transformers"]["times_faster_than_peer"] == 1.0
    assert 0 < measured["attention_share_of_floor"] < 10
    assert any("turn 3 of 3, fast" in step for step in told)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_precision_runs_on_a_cpu(half):
    setting = replace(SETTING, config="sam2.1_hiera_t", dtype=half, turns=1)
    measured = measure(Case(1, 1, 2), available("cpu", compiled=False), setting, memory=False)
    for name, row in measured["contenders"].items():
        assert row["largest_error"] <= bound(half, 10), name
