"""Contenders of one case side by side, in one process; what counts are ratios of medians."""

import statistics
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from ..configs import load_config
from ..inputs import Inputs, draw_inputs
from ..model import load
from .cases import Case, Setting, fits, turns_of
from .contenders import PEER, build_contender, one_frame
from .floor import attention_alone, matrix_product, matrix_side, needed, needed_by_attention
from .memory import peak_memory
from .turns import Clock, in_turns
from .video import videos


def measure(
    case: Case,
    names: list[str],
    setting: Setting,
    progress: Callable[[str], None] = lambda step: None,
    memory: bool = True,
) -> dict[str, Any]:
    """Time the contenders of a case in turns; also their errors, their peak memory, and the floor.

    Errors are root mean squares over the output, and the largest, relative to its largest number in the
    reference in float64. The floor is the time that the needed FLOPs take at the rate of a large matrix
    product, measured in the same turns; it is also given for the attention to the memories by itself.
    `progress` is told what comes next.
    """
    import torch

    config = load_config(setting.config)
    names = [name for name in names if fits(case, name, setting)]
    inputs = draw_inputs(config, setting.seed, case.memories, objects=case.objects, grid=(case.grid, case.grid))
    weights = load(config, seed=setting.seed).weights
    clock = Clock(setting.device)
    with torch.inference_mode():
        contenders = {name: build_contender(name, config, weights, case, setting) for name in names}
        measures = {"matrix product": matrix_product(setting)}
        results: dict[str, np.ndarray] = {}
        if case.frames == 1:
            calls = {name: one_frame(contender, inputs) for name, contender in contenders.items()}
            results = {name: contenders[name].to_numpy(call()) for name, call in calls.items()}
            if case.objects == 1:
                measures["attention"] = attention_alone(config, case, setting)
            calls |= measures
            seconds = in_turns(
                calls, clock, turns_of(case, setting.turns), lambda step: progress(f"{case.name}: {step}")
            )
        else:
            seconds = videos(contenders, measures, config, case, setting, clock, progress)
        rate = 2 * matrix_side(setting) ** 3 / statistics.median(seconds.pop("matrix product"))
    flops = needed(config, case)
    of_attention = {}
    if "attention" in measures:
        time_of_attention = statistics.median(seconds.pop("attention"))
        of_attention["attention_share_of_floor"] = needed_by_attention(config, case) / rate / time_of_attention
    # A video is one run of many frames, and its time their sum.
    of_turns = statistics.median if case.frames == 1 else sum
    rows: dict[str, dict[str, Any]] = {
        name: {"time": of_turns(values), "seconds": values} for name, values in seconds.items()
    }
    if results and case.objects == 1 and case.grid <= config.grid[0]:
        progress(f"{case.name}: the truth, in float64")
        truth = load(config, "reference", weights, dtype="float64")(*_rounded(inputs, setting.dtype))
        for name, result in results.items():
            error = np.abs(result.reshape(truth.shape) - truth) / np.abs(truth).max()
            rows[name]["error"] = float(np.sqrt(np.mean(error**2)))
            rows[name]["largest_error"] = float(error.max())
    del contenders, results
    for name, row in rows.items():
        if PEER in rows:
            row["times_faster_than_peer"] = rows[PEER]["time"] / row["time"]
            pairs = [theirs / ours for theirs, ours in zip(seconds[PEER], seconds[name], strict=True)]
            row["least"], row["most"] = min(pairs), max(pairs)
        row["share_of_floor"] = flops / rate / row["time"]
        if memory and case.frames == case.objects == 1:
            progress(f"{case.name}: memory of {name}")
            row["peak_mb"] = peak_memory(case, name, setting)
    return {
        "name": case.name,
        **asdict(case),
        "needed_gflop": flops / 1e9,
        "matrix_product_gflop_per_second": rate / 1e9,
        **of_attention,
        "contenders": rows,
    }


def _rounded(inputs: Inputs, dtype: str) -> Inputs:
    """The inputs as a contender of that dtype sees them, in float64, with one frame for all objects."""
    import torch

    def to(array: Any) -> Any:
        if not isinstance(array, np.ndarray):
            return array
        return torch.from_numpy(array).to(getattr(torch, dtype)).double().numpy()

    return Inputs(*map(to, inputs))
