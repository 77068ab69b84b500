"""The equivalence rule itself, used by the suite and by the test of the suite."""

from dataclasses import replace

import numpy as np
import torch

import memory_attention as ma
from cases import Case, rounded
from memory_attention.compare import largest_logit
from memory_attention.inputs import Inputs
from memory_attention.tolerances import EPSILON, bound
from memory_attention.weights import PREFIX
from textbook import memory_attention as textbook

ULPS = 8
REACH = 100.0
"""More than the largest logit of any drawn case."""


def error(result: np.ndarray, truth: np.ndarray, beside: np.ndarray | None = None) -> float:
    """The largest error relative to the largest magnitude of the truth, or of what is given `beside` it."""
    assert result.shape == truth.shape, f"shape {result.shape}, expected {truth.shape}"
    assert np.isfinite(result).all(), "not finite"
    magnitude = float(np.abs(truth if beside is None else beside).max()) or 1.0
    return float(np.abs(result.astype(np.float64) - truth).max()) / magnitude


def check_equivalence(
    case: Case,
    backend: str,
    device: str,
    dtype: str,
    kernel: str | None = None,
    memory_space: bool | None = None,
    compiled: bool = False,
) -> None:
    """Every step within the bound of its dtype, and the whole at most twice as wrong as the textbook formula.

    `kernel`, `memory_space` and `compiled` force the accelerated backend's choices.
    """
    case = rounded(case, dtype)
    truth = ma.load(case.config, "reference", case.weights, dtype="float64").trace(*case.inputs)
    whole = truth["norm"].swapaxes(0, 1) if case.config.memory_attention.batch_first else truth["norm"]
    limit = 2 * textbook_error(case, device, dtype, whole) + ULPS * EPSILON[dtype]
    model = ma.load(
        case.config, backend, case.weights, device=_device(backend, device), dtype=dtype, compiled=compiled
    )
    if kernel is not None or memory_space is not None:
        model.network.module.use_kernel(kernel, memory_space)
    steps = model.trace(*case.inputs)
    assert list(steps) == list(truth), "the steps differ"

    reach = 1.0
    for name, true in truth.items():
        if name.endswith((".k", ".k_rotated")):
            reach = max(reach, largest_logit(truth, name))
        # Where rows hardly vary, norms make much of every rounding: then a step is held to the whole's limit.
        limit_of_step = max(bound(dtype, reach), limit)
        # An activation may leave next to nothing of linear1, but all of its error.
        given = name.replace("activation", "linear1").replace("linear2", "linear1")
        wrong = error(steps[name], true, beside=np.maximum(np.abs(true).max(), np.abs(truth[given]).max()))
        assert wrong <= limit_of_step, f"{name}: error {wrong:.1e} > {limit_of_step:.1e}"

    result = error(model(*case.inputs), whole)
    assert result <= limit, f"error {result:.1e}, twice the textbook's is {limit:.1e}"


def check_off_the_fast_path(case: Case) -> None:
    """With gradients, and for forward-mode derivatives, which count as a trace, the result is the same."""
    truth = ma.load(case.config, "reference", case.weights, dtype="float64")(*case.inputs)
    model = ma.load(case.config, "accelerated", case.weights, device="cpu", dtype="float64")

    def tensors(learning: bool) -> list[object]:
        given = (torch.from_numpy(a.copy()) if isinstance(a, np.ndarray) else a for a in case.inputs)
        return [t.requires_grad_(learning) if isinstance(t, torch.Tensor) else t for t in given]

    result = model(*tensors(learning=True))
    assert result.requires_grad
    assert error(result.detach().numpy(), truth) <= bound("float64", REACH)
    with torch.no_grad(), torch.autograd.forward_ad.dual_level():
        assert error(model(*tensors(learning=False)).numpy(), truth) <= bound("float64", REACH)


def textbook_error(case: Case, device: str, dtype: str, truth: np.ndarray) -> float:
    """The textbook formula's largest error, on the case and with every input moved by one in its last place.

    By itself it is a matter of luck: where norms make much of every rounding, it varies by a factor of ten.
    """
    rng = np.random.default_rng(0)

    def moved(array: np.ndarray) -> np.ndarray:
        return array * (1 + EPSILON[dtype] * rng.choice([-1, 0, 1], array.shape))

    def with_moved_inputs() -> Case:
        inputs = (moved(given) if isinstance(given, np.ndarray) else given for given in case.inputs)
        return replace(case, inputs=Inputs(*inputs))

    cases = [case, *(with_moved_inputs() for _ in range(7))]
    return max(error(run_textbook(each, device, dtype), truth) for each in cases)


def run_textbook(case: Case, device: str, dtype: str) -> np.ndarray:
    """The textbook formula on the case, in `dtype`."""

    def to(array):
        if not isinstance(array, np.ndarray):
            return array
        return torch.from_numpy(np.array(array, order="C")).to(device, getattr(torch, dtype))

    weights = {name.removeprefix(PREFIX): to(weight) for name, weight in case.weights.items()}
    return textbook(case.config, weights, *map(to, case.inputs)).double().cpu().numpy()


def _device(backend: str, device: str) -> str | None:
    return None if backend == "reference" else device
