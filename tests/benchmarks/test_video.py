"""A video is measured frame by frame."""

import pytest

import memory_attention as ma
from memory_attention.benchmarks.cases import Case, Setting
from memory_attention.benchmarks.measuring import measure
from memory_attention.cost import needed_flops

SETTING = Setting("tiny", "cpu", "float32", seed=0, turns=3)


def test_a_video_is_measured_frame_by_frame():
    measured = measure(Case(3, 1, 4, frames=5), ["fast", "plain"], SETTING)
    for row in measured["contenders"].values():
        # The first frame has nothing to remember.
        assert len(row["seconds"]) == 4
        assert row["time"] == pytest.approx(sum(row["seconds"]))
    config = ma.load_config("tiny")
    full, reach = config.memory_bank.num_maskmem, config.memory_bank.max_obj_ptrs_in_encoder
    sizes = [min(f, full) * 16 + min(f, reach) * config.num_pointer_tokens for f in range(1, 5)]
    assert measured["needed_gflop"] == sum(needed_flops(config, 16, size) for size in sizes) / 1e9
