"""Which form of attention, and which kernel, a problem gets: by FLOPs, by what is there, on GPUs by a trial."""

import functools
import time
import warnings
from typing import NamedTuple

import torch

from ..rules.memory_space import Tokens, memory_space_saves, queries_gain
from .kernels import BACKENDS, scaled_dot_product_attention, takes_tiles
from .position import Places

FEW_LOGITS = 2**21
"""Below so many logits (two memories of a 32 × 32 grid) PyTorch's fused CPU kernel was the faster one."""


LEAST_GAIN = 1.2
"""Queries in memory space take smaller products: they were the faster ones from so many times fewer FLOPs."""


class Form(NamedTuple):
    """Values in memory space or projected for every head, the kernel, and keys rotated where they lie or not."""

    memory_space: bool
    kernel: str
    in_place: bool = False


class Problem(NamedTuple):
    """The sizes of an attention: B, H, N, M, d and the channels K of the memory."""

    batch: int
    heads: int
    queries: int
    keys: int
    head_dim: int
    memory_dim: int
    dtype: torch.dtype
    device: torch.device

    @property
    def saves(self) -> bool:
        """Whether values in memory space are fewer FLOPs."""
        return memory_space_saves(self.queries, self.keys, self.head_dim, self.memory_dim)


PLAIN = Form(False, "pytorch")


def choose_form(
    problem: Problem, kernel: str | None = None, memory_space: bool | None = None, traced: bool = False
) -> Form:
    """The form for inference; a `kernel` or `memory_space` that is given wins.

    On CPUs large problems go to the tiled kernel, where memory space saves work. On GPUs the candidates
    are tried once for every problem, and the fastest is kept. `traced` code leaves the kernel to PyTorch.
    """
    if kernel is not None:
        fits = kernel not in ("flash", "pytorch")
        return Form(problem.saves and fits if memory_space is None else memory_space, kernel)
    device = problem.device.type
    if traced or device not in ("cpu", "cuda"):
        saves = device == "cuda" and problem.saves
        return Form(saves if memory_space is None else memory_space, "pytorch")
    if device == "cuda":
        return fastest_form(problem, memory_space)
    tiles = takes_tiles(problem.dtype, problem.device)
    large = problem.batch * problem.heads * problem.queries * problem.keys >= FEW_LOGITS
    in_memory_space = problem.saves and tiles and large if memory_space is None else memory_space
    return Form(in_memory_space, "tiled" if in_memory_space and tiles and large else "pytorch")


def choose_axial(
    problem: Problem, places: Places | None, kernel: str | None = None, memory_space: bool | None = None
) -> bool:
    """Whether queries go to memory space too: where large problems' values do, and it is so much less work."""
    if kernel not in (None, "axial") or not takes_tiles(problem.dtype, problem.device):
        return False
    form = choose_form(problem, kernel, memory_space)
    if kernel == "axial":
        return form.memory_space
    height, width, frames, _ = places or (0, 0, 0, 0.0)
    placed = frames * height * width
    tokens = Tokens(problem.queries, placed, problem.keys - placed, (height, width))
    return form == Form(True, "tiled") and queries_gain(tokens, problem.head_dim, problem.memory_dim) > LEAST_GAIN


@functools.lru_cache(maxsize=256)
def fastest_form(problem: Problem, memory_space: bool | None = None) -> Form:
    """Try every kernel of PyTorch that can do the problem, on drawn numbers, and return the fastest form."""
    spaces = [memory_space] if memory_space is not None else [False, True] if problem.saves else [False]
    forms = [Form(space, kernel) for space in spaces for kernel in BACKENDS if kernel != "math"]
    seconds = {form: _trial(problem, form) for form in forms}
    best = min(seconds, key=seconds.__getitem__)
    return best if seconds[best] < float("inf") else Form(spaces[0], "pytorch")


def _trial(problem: Problem, form: Form, turns: int = 5) -> float:
    """The least seconds of some turns; infinite where the kernel is not to be had.

    The numbers lie in memory as the attention has them: heads side by side, memories the same for each.
    """
    # A generator of its own: the user's random numbers stay as they are.
    generator = torch.Generator(problem.device).manual_seed(0)

    def draw(tokens: int, heads: int, channels: int) -> torch.Tensor:
        shape = (problem.batch, tokens, heads, channels)
        drawn = torch.randn(shape, dtype=problem.dtype, device=problem.device, generator=generator)
        return drawn.transpose(1, 2)

    query = draw(problem.queries, problem.heads, problem.head_dim)
    key = draw(problem.keys, problem.heads, problem.head_dim)
    if form.memory_space:
        value = draw(problem.keys, 1, problem.memory_dim).expand(-1, problem.heads, -1, -1)
    else:
        value = draw(problem.keys, problem.heads, problem.head_dim)
    least = float("inf")
    for _ in range(turns):
        _wait(problem.device)
        started = time.perf_counter()
        try:
            # Why a kernel refuses is PyTorch's to warn of where somebody asked for that kernel.
            with torch.no_grad(), warnings.catch_warnings(action="ignore"):
                scaled_dot_product_attention(query, key, value, kernel=form.kernel)
        except (ValueError, RuntimeError):
            return float("inf")
        _wait(problem.device)
        least = min(least, time.perf_counter() - started)
    return least


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
