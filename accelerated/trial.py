"""How long a form takes on a device, on drawn numbers: what no count of operations says."""

import functools
import time
import warnings

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from .kernels import axial_attention, scaled_dot_product_attention
from .position import Places, rotary_table_for, rotate
from .problem import Form, Problem

THETA = 10000.0
"""Any rotation takes as long."""


@functools.lru_cache(maxsize=1024)
def seconds_of(form: Form, problem: Problem, turns: int = 5) -> float:
    """The least seconds of some turns, from memories to their means; infinite where the form is not to be had.

    The numbers lie in memory as the attention has them: heads side by side, memories the same for each.
    """
    # A generator of its own: the user's random numbers stay as they are.
    generator = torch.Generator(problem.device).manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=problem.dtype, device=problem.device, generator=generator)

    query = draw(problem.batch, problem.queries, problem.heads, problem.head_dim).transpose(1, 2)
    memory = draw(problem.batch, problem.keys, problem.memory_dim)
    weight, bias = (
        draw(problem.heads * problem.head_dim, problem.memory_dim),
        draw(problem.heads * problem.head_dim),
    )
    frames = problem.keys // problem.queries
    places = Places(*problem.grid, frames, THETA) if problem.grid else None
    least = float("inf")
    for _ in range(turns):
        _wait(problem.device)
        started = time.perf_counter()
        try:
            # Why a kernel refuses is PyTorch's to warn of where somebody asked for that kernel.
            with torch.no_grad(), warnings.catch_warnings(action="ignore"):
                _attend(form, query, memory, weight, bias, places)
            _wait(problem.device)
        # What a kernel raises that is not there is each one's own.
        except Exception:
            return float("inf")
        least = min(least, time.perf_counter() - started)
    return least


def _attend(
    form: Form,
    query: Float[Tensor, "B H N d"],
    memory: Float[Tensor, "B M K"],
    weight: Float[Tensor, "C K"],
    bias: Float[Tensor, " C"],
    places: Places | None,
) -> Float[Tensor, "B H N _"]:
    """The attention but for what all forms have: the queries' projection, and what follows the heads."""
    if form.kernel == "axial":
        return axial_attention(query, memory, memory, weight, bias, places)
    heads = query.shape[1]

    def project() -> Float[Tensor, "B H M d"]:
        return F.linear(memory, weight, bias).unflatten(-1, (heads, -1)).transpose(1, 2)

    key = project()
    if places is not None and places.frames:
        table = rotary_table_for(query, places.height, places.width, places.theta)
        query, key = rotate(query, table), rotate(key.unflatten(2, (places.frames, -1)), table).flatten(2, 3)
    value = memory[:, None].expand(-1, heads, -1, -1) if form.memory_space else project()
    return scaled_dot_product_attention(query, key, value, kernel=form.kernel)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
