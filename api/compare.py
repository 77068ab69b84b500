"""Two models on the same inputs, step by step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .inputs import Inputs
from .model import Model
from .tolerances import bound


@dataclass(frozen=True)
class StepDifference:
    """How far one step's output is from the other model's."""

    step: str
    shape: tuple[int, ...]
    largest_error: float
    relative_error: float
    bound: float

    @property
    def within(self) -> bool:
        """Whether the relative error is a number and inside the bound."""
        return self.relative_error <= self.bound


def compare(
    model: Model, against: Model, *inputs: Any, progress: Callable[[str], None] | None = None
) -> list[StepDifference]:
    """Run both on the same inputs and compare every step; `inputs` as in a call of the model.

    Errors are relative to the largest magnitude of `model`'s output; the bound is that of the coarser
    dtype, and grows with the logits of the attention. `progress` is called with every step's name.
    Raises `TypeError` for what is no model, `ValueError` where the two have different steps or shapes.
    """
    for name, given in {"model": model, "against": against}.items():
        if not isinstance(given, Model):
            raise TypeError(f"{name} is {type(given).__name__}, expected a model, as load gives one")
    expected = _run(model, Inputs(*inputs), progress)
    actual = _run(against, Inputs(*inputs), progress)
    if expected.keys() != actual.keys():
        raise ValueError(f"the steps differ: {sorted(expected.keys() ^ actual.keys())}")

    differences, reach = [], 1.0
    for step, truth in expected.items():
        if step.endswith((".k", ".k_rotated")):
            reach = max(reach, largest_logit(expected, step))
        limit = max(bound(model.dtype, reach), bound(against.dtype, reach))
        differences.append(_difference(step, truth, actual[step], limit))
    return differences


def largest_logit(steps: dict[str, np.ndarray], key_step: str) -> float:
    """The largest magnitude of an attention's logits, over some sixty queries spread over the frame."""
    query, key = steps[key_step.replace(".k", ".q")], steps[key_step]
    some = query[:, :, :: max(1, query.shape[2] // 64)].astype(np.float64)
    return float(np.abs(some @ key.astype(np.float64).swapaxes(-1, -2)).max() / np.sqrt(query.shape[-1]))


def _run(model: Model, inputs: Inputs, progress: Callable[[str], None] | None) -> dict[str, np.ndarray]:
    steps: dict[str, np.ndarray] = {}

    def record(name: str, value: np.ndarray) -> np.ndarray:
        steps[name] = value
        if progress:
            progress(name)
        return value

    model.run(inputs, record)
    return steps


def _difference(step: str, truth: np.ndarray, result: np.ndarray, limit: float) -> StepDifference:
    if truth.shape != result.shape:
        raise ValueError(f"{step} has shape {result.shape}, expected {truth.shape}")
    error = float(np.abs(truth.astype(np.float64) - result).max())
    magnitude = float(np.abs(truth).max())
    relative = error / magnitude if magnitude else error
    return StepDifference(step, truth.shape, error, relative, limit)
