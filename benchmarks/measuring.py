"""Contenders of one case side by side, in one process; what counts are medians of ratios of the same turn."""

import statistics
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from ..configs import Config, load_config
from ..inputs import Inputs, draw_inputs
from ..model import load
from .cases import RIVALS, Case, Setting, fits, is_heavy, turns_of
from .contenders import PEER, Contender, build_contender, one_frame
from .floor import attention_alone, matrix_product, matrix_side, needed, needed_by_attention
from .memory import peak_memory
from .ratios import paired_ratios, ratio_of, spread
from .turns import Clock, Seconds, in_turns
from .video import videos

MEASURES = ("matrix product", "attention")
"""What is timed in the same turns and is no contender."""


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
    config = load_config(setting.config)
    names = [name for name in names if fits(case, name, setting)]
    inputs = draw_inputs(config, setting.seed, case.memories, objects=case.objects, grid=(case.grid, case.grid))
    weights = load(config, seed=setting.seed).weights
    seconds, results = _timed(case, names, setting, config, weights, inputs, progress)
    rows = rows_of(case, {name: seconds[name] for name in names})
    product = [second for second in seconds["matrix product"] if second is not None]
    rate = 2 * matrix_side(setting) ** 3 / statistics.median(product)
    flops = needed(config, case)
    of_attention = {}
    if "attention" in seconds:
        time_of_attention = statistics.median(filter(None, seconds["attention"]))
        of_attention["attention_share_of_floor"] = needed_by_attention(config, case) / rate / time_of_attention
    if results and case.objects == 1 and case.grid <= config.grid[0] and not case.gradients:
        progress(f"{case.name}: the truth, in float64")
        truth = load(config, "reference", weights, dtype="float64")(*_rounded(inputs, setting.dtype))
        for name, result in results.items():
            error = np.abs(result.reshape(truth.shape) - truth) / np.abs(truth).max()
            rows[name]["error"] = float(np.sqrt(np.mean(error**2)))
            rows[name]["largest_error"] = float(error.max())
    for name, row in rows.items():
        row["share_of_floor"] = flops / rate / row["time"]
        if memory and fits_memory(case, name):
            progress(f"{case.name}: memory of {name}")
            row["peak_mb"] = peak_memory(case, name, setting)
    return {
        "name": case.name,
        **asdict(case),
        "needed_gflop": flops / 1e9,
        "matrix_product_gflop_per_second": rate / 1e9,
        "matrix_product_spread": spread(product),
        **of_attention,
        "contenders": rows,
    }


def fits_memory(case: Case, name: str) -> bool:
    """Whose peak memory is measured: a process each, so not where it would take long."""
    return case.frames == case.objects == 1 and not case.gradients and not is_heavy(case) and name in RIVALS


def rows_of(case: Case, seconds: Seconds) -> dict[str, dict[str, Any]]:
    """A row for every contender: its time, and how many times faster than the peer it was in the same turn.

    A video is one run of many frames: its time is their sum, its ratio that of the sums, and the quartiles
    are those of its frames.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, values in seconds.items():
        took = [second for second in values if second is not None]
        row: dict[str, Any] = {"time": sum(took) if case.frames > 1 else statistics.median(took)}
        row["seconds"] = values
        if PEER in seconds:
            ratio = ratio_of(paired_ratios(seconds[PEER], values))
            if case.frames > 1:
                ratio = ratio._replace(median=sum(filter(None, seconds[PEER])) / row["time"])
            row |= {"times_faster_than_peer": ratio.median, "lower": ratio.lower, "upper": ratio.upper}
            row["noisy"] = ratio.noisy and name != PEER
        rows[name] = row
    return rows


def _timed(
    case: Case,
    names: list[str],
    setting: Setting,
    config: Config,
    weights: dict[str, np.ndarray],
    inputs: Inputs,
    progress: Callable[[str], None],
) -> tuple[Seconds, dict[str, np.ndarray]]:
    """The seconds of contenders and `MEASURES`, and what the contenders gave for one frame."""
    import torch

    clock = Clock(setting.device)
    with torch.inference_mode(not case.gradients):
        contenders: dict[str, Contender] = {}
        for name in names:
            progress(f"{case.name}: building {name}")
            contenders[name] = build_contender(name, config, weights, case, setting)
        measures = {"matrix product": matrix_product(setting)}
        if case.frames > 1:
            return videos(contenders, measures, config, case, setting, clock, progress), {}
        calls = {name: one_frame(contender, inputs, case.gradients) for name, contender in contenders.items()}
        results = {}
        for name, call in () if is_heavy(case) else calls.items():
            progress(f"{case.name}: first call of {name}")
            results[name] = contenders[name].to_numpy(call())
        if case.objects == 1 and not case.gradients:
            measures["attention"] = attention_alone(config, case, setting)
        turns = turns_of(case, setting.turns)
        sit_out = [name for name in (*names, "attention") if case.others and name not in RIVALS]

        def tell(step: str) -> None:
            progress(f"{case.name}: {step}")

        return in_turns(calls | measures, clock, turns, tell, sit_out), results


def _rounded(inputs: Inputs, dtype: str) -> Inputs:
    """The inputs as a contender of that dtype sees them, in float64, with one frame for all objects."""
    import torch

    def to(array: Any) -> Any:
        if not isinstance(array, np.ndarray):
            return array
        return torch.from_numpy(array).to(getattr(torch, dtype)).double().numpy()

    return Inputs(*map(to, inputs))
