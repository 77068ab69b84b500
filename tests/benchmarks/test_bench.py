"""The benchmark: what it measures, what it writes, and the committed results that the README shows."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import memory_attention as ma
from memory_attention.accelerated import MemoryBank
from memory_attention.benchmarks import floor, measuring, turns
from memory_attention.benchmarks.cases import Case, Setting, cases, fits, turns_of
from memory_attention.benchmarks.contenders import CONTENDERS, available, build_contender, one_frame
from memory_attention.benchmarks.floor import attention_alone, needed, needed_by_attention
from memory_attention.benchmarks.measuring import measure
from memory_attention.benchmarks.memory import peak_memory
from memory_attention.benchmarks.plots import draw_growth
from memory_attention.benchmarks.results import read_result, result
from memory_attention.cost import needed_flops
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound

SETTING = Setting("tiny", "cpu", "float32", seed=0, turns=3)
COMMITTED = Path(__file__).parents[2] / "benchmarks" / "results" / "speed.json"


@pytest.fixture(autouse=True)
def no_rest(monkeypatch):
    monkeypatch.setattr(turns, "REST_SECONDS", 0.0)
    monkeypatch.setattr(turns, "LEAST_SECONDS", 1e-4)
    monkeypatch.setattr(floor, "matrix_side", lambda setting: 64)
    monkeypatch.setattr(measuring, "matrix_side", lambda setting: 64)


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


def test_contenders_compute_the_same():
    config = ma.load_config("sam2.1_hiera_t")
    weights = ma.load(config).weights
    inputs = draw_inputs(config, memories=2, objects=2, grid=(4, 4))
    shared = inputs._replace(
        curr=np.repeat(inputs.curr[:, :1], 2, 1), curr_pos=np.repeat(inputs.curr_pos[:, :1], 2, 1)
    )
    truth = ma.load(config, weights=weights, dtype="float64")(
        *(array.astype(float) if isinstance(array, np.ndarray) else array for array in shared)
    )
    for name in available("cpu", compiled=False):
        contender = build_contender(name, config, weights, Case(2, 2, 4), SETTING)
        with torch.inference_mode():
            out = contender.to_numpy(one_frame(contender, inputs)())
        assert np.abs(out - truth).max() <= bound("float32", 20) * np.abs(truth).max(), name


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_precision_runs_on_a_cpu(half):
    setting = replace(SETTING, config="sam2.1_hiera_t", dtype=half, turns=1)
    measured = measure(Case(1, 1, 2), available("cpu", compiled=False), setting, memory=False)
    for name, row in measured["contenders"].items():
        assert row["largest_error"] <= bound(half, 10), name


def test_only_the_fast_path_and_the_reference_are_given_one_frame_for_all():
    config = ma.load_config("sam2.1_hiera_t")
    weights, inputs = ma.load(config).weights, draw_inputs(config, memories=1, objects=2, grid=(4, 4))
    for name in available("cpu", compiled=True):
        contender, given = build_contender(name, config, weights, Case(2, 2, 4), SETTING), []
        contender.attention = lambda given=given, **arguments: given.append(arguments["curr"].shape[1])
        one_frame(contender, inputs)()
        assert given == [1 if name in ("fast", "reference", "fast compiled") else 2], name


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


def test_the_floor_of_a_video_counts_the_tokens_that_the_bank_gives():
    config = ma.load_config("tiny")
    bank = MemoryBank(config, ma.load(config).weights)
    network, (height, width) = config.memory_attention, config.grid
    counted = 0
    for frame in range(30):
        if frame:
            seen = bank.tokens(frame, None)
            counted += needed_flops(config, height * width, len(seen.memory))
        memory, pointer = torch.zeros(1, network.memory_dim, height, width), torch.zeros(1, network.d_model)
        bank.add(frame, memory, pointer, conditioning=frame == 0)
        bank.forget(frame + 1)
    assert needed(config, Case(3, 1, height, frames=30)) == counted


def test_the_attention_alone_has_its_share_of_the_needed_flops():
    """q kᵀ and, in memory space, the weighted sum with its projection, counted by PyTorch."""
    config = ma.load_config("sam2.1_hiera_t")
    setting = replace(SETTING, config="sam2.1_hiera_t", kernel="math")
    for case in (Case(1, 1, 4), Case(7, 1, 4)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            attention_alone(config, case, setting)()
        assert needed_by_attention(config, case) == counter.get_total_flops()


def test_the_textbook_is_left_out_where_its_logits_do_not_fit():
    assert fits(Case(7, 1, 64), "textbook", SETTING)
    # 4096 queries × 40 × 4096 keys × 4 bytes are 2.7 GB.
    assert not fits(Case(40, 1, 64), "textbook", SETTING)
    assert fits(Case(7, 1, 96), "fast", SETTING)


def test_peak_memory_is_of_the_order_of_the_keys():
    """At 32 × 32 and seven memories the keys are 7 MB, all logits 30 MB and more than once."""
    setting = replace(SETTING, config="sam2.1_hiera_t")
    fast, textbook = (peak_memory(Case(7, 1, 32), name, setting) for name in ("fast", "textbook"))
    if fast is None:
        pytest.skip("this system does not tell a process its peak memory")
    assert 5 < fast < 60
    assert textbook > 60


def test_what_is_measured():
    full = cases(ma.load_config("sam2.1_hiera_t"))
    assert {case.memories for case in full if case.grid == 64 and case.objects == 1} == {1, 2, 4, 7}
    assert {case.objects for case in full if case.grid == 64 and case.memories in (1, 7)} == {1, 3}
    assert {case.grid for case in full} == {16, 32, 48, 64, 96}
    assert [case.frames for case in full if case.frames > 1] == [16]
    assert turns_of(Case(7, 1, 64), 5) == 5
    assert turns_of(Case(7, 3, 64), 5) == 2
    assert turns_of(Case(7, 1, 96), 1) == 1


def test_a_run_that_was_cut_short_goes_on(tmp_path):
    done = [{"name": "one"}]
    path = tmp_path / "speed.json"
    assert read_result(path, SETTING) == []
    path.write_text(json.dumps(result(SETTING, done)))
    assert read_result(path, SETTING) == done
    for other in ({"seed": 1}, {"turns": 4}, {"kernel": "math"}, {"compiled": True}):
        assert read_result(path, replace(SETTING, **other)) == [], other


def row(time, mb=None):
    return {"time": time, "seconds": [time], "share_of_floor": 0.5, "peak_mb": mb}


def growth(memory):
    sizes = [(1, 8), (2, 8), (2, 12)]
    measured = [
        {
            "memories": m,
            "objects": 1,
            "grid": g,
            "frames": 1,
            "contenders": {"fast": row(m * g, 3.0 if memory else None)},
        }
        for m, g in sizes
    ]
    return {
        "machine": {"processor": "some", "threads": 2},
        "setting": {"config": "tiny", "dtype": "float32"},
        "cases": measured,
    }


@pytest.mark.parametrize("memory", [True, False])
def test_the_plot_shows_both_growths(memory):
    figure = draw_growth(growth(memory))
    assert len(figure.axes) == (4 if memory else 2)
    by_memory, by_grid = figure.axes[:2]
    np.testing.assert_array_equal(by_memory.lines[0].get_xydata(), [[1, 8], [2, 16]])
    np.testing.assert_array_equal(by_grid.lines[0].get_xydata(), [[8, 16], [12, 24]])
    assert by_memory.get_ylabel() == "seconds"


def test_the_plot_needs_growth():
    nothing = growth(memory=False) | {"cases": []}
    with pytest.raises(ValueError, match="no two memory lengths"):
        draw_growth(nothing)


MEASURED = {case["name"]: case for case in json.loads(COMMITTED.read_text())["cases"]}


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
