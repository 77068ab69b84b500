"""Which form of attention, and which kernel, a problem gets: by FLOPs, by what is there, on GPUs by a trial."""

from ..rules.memory_space import Tokens, queries_gain
from .kernels import BACKENDS, takes_axial, takes_tiles
from .position import Places
from .problem import Form, Problem
from .trial import seconds_of

PLAIN = Form(False, "pytorch")

FEW_LOGITS = 2**21
"""Below so many logits (two memories of a 32 × 32 grid) PyTorch's fused CPU kernel was the faster one."""


LEAST_GAIN = 1.35
"""Queries in memory space take smaller products: they were the faster ones from so many times fewer FLOPs."""


def choose_form(
    problem: Problem, kernel: str | None = None, memory_space: bool | None = None, traced: bool = False
) -> Form:
    """The form for inference; a `kernel` or `memory_space` that is given wins.

    On CPUs large problems go to the tiled kernel, where memory space saves work. On GPUs the candidates
    are tried once for all problems of about that size. `traced` code leaves the kernel to PyTorch.
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
    large = _is_large(problem)
    in_memory_space = problem.saves and tiles and large if memory_space is None else memory_space
    return Form(in_memory_space, "tiled" if in_memory_space and tiles and large else "pytorch")


def choose_axial(
    problem: Problem, places: Places | None, kernel: str | None = None, memory_space: bool | None = None
) -> bool:
    """Whether queries go to memory space too: on GPUs where that was the fastest form.

    On CPUs where large problems' values do, and it is so much less work.
    """
    if kernel not in (None, "axial") or not takes_axial(problem.dtype, problem.device):
        return False
    if kernel == "axial":
        return choose_form(problem, kernel, memory_space).memory_space
    if problem.device.type == "cuda":
        return fastest_form(problem, memory_space, axial=True).kernel == "axial"
    height, width, frames, _ = places or (0, 0, 0, 0.0)
    placed = frames * height * width
    tokens = Tokens(problem.queries, placed, problem.keys - placed, (height, width))
    gain = queries_gain(tokens, problem.head_dim, problem.memory_dim)
    return choose_form(problem, kernel, memory_space) == Form(True, "tiled") and gain > LEAST_GAIN


def fastest_form(problem: Problem, memory_space: bool | None = None, axial: bool = False) -> Form:
    """The fastest of the forms that the device has, each tried once for all problems of about that size.

    What is compiled first is tried for large problems only. `axial` lets queries go to memory space.
    """
    tried = problem.rounded
    spaces = [memory_space] if memory_space is not None else [False, True] if tried.saves else [False]
    forms = [Form(space, kernel) for space in spaces for kernel in BACKENDS if kernel != "math"]
    if True in spaces and _is_large(tried):
        forms += [Form(True, "flex"), *([Form(True, "axial")] if axial else [])]
    seconds = {form: seconds_of(form, tried) for form in forms}
    best = min(seconds, key=seconds.__getitem__)
    return best if seconds[best] < float("inf") else Form(spaces[0], "pytorch")


def _is_large(problem: Problem) -> bool:
    """Whether a kernel that has to be prepared may pay."""
    return problem.batch * problem.heads * problem.queries * problem.keys >= FEW_LOGITS
