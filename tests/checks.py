"""The equivalence rule itself, used by the suite and by the test of the suite."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import reject

import memory_attention as ma
from cases import Case, rounded
from memory_attention import accelerated, reference
from memory_attention.accelerated.kernels import scaled_dot_product_attention
from memory_attention.compare import largest_logit
from memory_attention.inputs import Inputs
from memory_attention.reference import backward
from memory_attention.tolerances import EPSILON, bound, bound_beside_textbook
from memory_attention.weights import PREFIX
from textbook import memory_attention as textbook

MOVES = 5
"""A layer rounds some ten times, each by half a unit in the last place."""
REACH = 100.0
"""More than the largest logit of any drawn case."""


def error(result: np.ndarray, truth: np.ndarray, beside: np.ndarray | None = None) -> float:
    """The largest error relative to the largest magnitude of the truth, or of what it stands `beside`."""
    assert result.shape == truth.shape, f"shape {result.shape}, expected {truth.shape}"
    assert np.isfinite(result).all(), "not finite"
    magnitude = float(np.abs(truth if beside is None else beside).max()) or 1.0
    return float(np.abs(result.astype(np.float64) - truth).max()) / magnitude


def root_mean_square_error(result: np.ndarray, truth: np.ndarray) -> float:
    """The root mean square of the errors relative to that of the truth."""
    assert result.shape == truth.shape, f"shape {result.shape}, expected {truth.shape}"
    magnitude = float(np.sqrt((truth**2).mean())) or 1.0
    return float(np.sqrt(((result.astype(np.float64) - truth) ** 2).mean())) / magnitude


def check_equivalence(
    case: Case,
    backend: str,
    device: str,
    dtype: str,
    kernel: str | None = None,
    memory_space: bool | None = None,
    compiled: bool = False,
) -> None:
    """Every step within the bound of its dtype, and the whole within that beside the textbook formula.

    Tiny networks may make much of every rounding, where a norm's rows hardly vary or a sum cancels: a step may
    then be off by what moving every input by one in its last place does to it, `MOVES` times, and the
    textbook formula is run on moved inputs too. `kernel`, `memory_space` and `compiled` force choices.
    """
    case = rounded(case, dtype)
    reference = ma.load(case.config, "reference", case.weights, dtype="float64")
    truth = reference.trace(*case.inputs)
    neighbours = [moved(case, dtype, seed) for seed in range(4)]
    whole = truth["norm"].swapaxes(0, 1) if case.config.memory_attention.batch_first else truth["norm"]
    plain = max(root_mean_square_error(run_textbook(each, device, dtype), whole) for each in (case, *neighbours))
    limit_of_whole = bound_beside_textbook(dtype, plain)
    traces = [reference.trace(*each.inputs) for each in neighbours]
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
        # An activation is as wrong as its argument, of which little may be left: far below 0, 1 + erf cancels.
        beside = truth[name.replace("activation", "linear1")]
        change = max(error(trace[name], true, beside) for trace in traces)
        limit = max(bound(dtype, reach), MOVES * change)
        wrong = error(steps[name], true, beside)
        assert wrong <= limit, f"{name}: error {wrong:.1e} > {limit:.1e}"

    result = model(*case.inputs)
    assert np.isfinite(result).all(), "not finite"
    wrong = root_mean_square_error(result, whole)
    assert wrong <= limit_of_whole, f"error {wrong:.1e}, beside the textbook's {limit_of_whole:.1e} is allowed"


@contextlib.contextmanager
def rejecting_refusals(kernel: str | None, device: str, dtype: str) -> Iterator[None]:
    """Skip a test whose kernel is not there in this dtype, and reject cases of widths that it lacks."""
    try:
        if kernel is not None:
            easy = torch.zeros(1, 1, 128, 64, device=device, dtype=getattr(torch, dtype))
            scaled_dot_product_attention(easy, easy, easy, kernel=kernel)
    except ValueError as error:
        if not is_refusal(error, kernel):
            raise
        pytest.skip(str(error))
    try:
        yield
    except ValueError as error:
        if not is_refusal(error, kernel):
            raise
        reject()


def is_refusal(error: ValueError, kernel: str | None) -> bool:
    """Whether a kernel says that it is not there for such numbers."""
    return any(
        f"kernel is {kernel!r}, which {words}" in str(error) for words in ("PyTorch does not have", "takes")
    )


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


def check_gradients_by_hand(case: Case, inputs: Inputs) -> None:
    """The gradients by hand are those of the accelerated backend's autograd.

    Relative to the largest value of each, or where all of it cancels to a thousandth of the largest of all.
    """
    network = case.config.memory_attention
    weights = {name.removeprefix(PREFIX): weight for name, weight in case.weights.items()}
    slow = reference.MemoryAttention.from_config(network)
    slow.load_parameters(weights)
    fast = accelerated.MemoryAttention.from_config(network).double().eval()
    fast.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})

    out, cache = backward.memory_attention_forward(slow, *inputs)
    assert error(out, slow(*inputs)) <= bound("float64", REACH)
    d_out = np.random.default_rng(0).standard_normal(out.shape)
    *by_hand, gradients = backward.memory_attention_backward(d_out, cache)

    tensors = [torch.from_numpy(np.array(a)).requires_grad_() if isinstance(a, np.ndarray) else a for a in inputs]
    fast(*tensors).backward(torch.from_numpy(d_out))
    names = ("curr", "memory", "curr_pos", "memory_pos")
    ours = dict(zip(names, by_hand, strict=True)) | gradients
    leaves = dict(zip(names, tensors, strict=False)) | dict(fast.named_parameters())
    theirs = {
        name: None if leaf is None or leaf.grad is None else leaf.grad.numpy() for name, leaf in leaves.items()
    }

    assert ours.keys() == theirs.keys()
    assert {n for n, g in ours.items() if g is None} == {n for n, g in theirs.items() if g is None}
    largest = max(np.abs(truth).max() for truth in theirs.values() if truth is not None)
    for name, truth in theirs.items():
        if truth is not None:
            assert ours[name].shape == truth.shape, name
            wrong = np.abs(ours[name] - truth).max() / max(np.abs(truth).max(), 1e-3 * largest)
            assert wrong <= bound("float64", REACH), f"{name}: off by {wrong:.1e}"


def moved(case: Case, dtype: str, seed: int) -> Case:
    """The case with every input as it is, or one up or down in the last place of `dtype`."""
    rng = np.random.default_rng(seed)

    def move(array: np.ndarray) -> np.ndarray:
        return array * (1 + EPSILON[dtype] * rng.choice([-1, 0, 1], array.shape))

    inputs = (move(given) if isinstance(given, np.ndarray) else given for given in case.inputs)
    return replace(case, inputs=Inputs(*inputs))


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
