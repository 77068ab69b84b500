"""An exported file is run on drawn inputs and held against the reference in float64 before it counts as done."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ..attention_map import compared_steps
from ..compare import StepDifference, largest_logit
from ..configs import Config
from ..inputs import Inputs, draw_inputs
from ..model import load
from ..tolerances import bound
from ..weights import Weights

Grid = tuple[int, int]


class Size(NamedTuple):
    """How much is drawn."""

    grid: Grid
    memories: int
    pointers: int
    objects: int

    def __str__(self) -> str:
        counts = ((self.memories, "memories"), (self.pointers, "pointers"), (self.objects, "objects"))
        words = [f"{count} {word if count != 1 else one(word)}" for count, word in counts]
        return f"{self.grid[0]} × {self.grid[1]}, {', '.join(words)}"


def one(word: str) -> str:
    """The singular."""
    return word.replace("memories", "memory").removesuffix("s")


def sizes(config: Config, grid: Grid | None) -> list[Size]:
    """Three sizes: on the fixed grid, or on three that are neither square nor alike.

    Few of everything: at full size the reference in float64 takes seconds for each memory.
    """
    grids = [grid] * 3 if grid else [(5, 7), (8, 3), (4, 9)]
    repeats = config.memory_attention.layer.cross_attention.rope_k_repeat
    memories = (1, 2, 1) if repeats else (1, 1, 1)
    pointers = (2, 0, 5) if config.memory_bank.use_obj_ptrs_in_encoder else (0, 0, 0)
    return [Size(*each) for each in zip(grids, memories, pointers, (1, 1, 2), strict=True)]


def verify(
    run: Callable[[Inputs], np.ndarray], config: Config, weights: Weights, dtype: str, grid: Grid | None, seed: int
) -> Iterator[StepDifference]:
    """How far `run` is from the reference in float64, at each of the `sizes`, on numbers that `dtype` has.

    The bounds are those of `tolerances`, which grow with the logits.
    """
    exact = {name: array.astype(dtype).astype(np.float64) for name, array in weights.items()}
    reference = load(config, "reference", exact, dtype="float64")
    network = config.memory_attention
    compared = [
        step
        for layer in range(network.num_layers)
        for kind in ("self", "cross")
        for step in compared_steps(network, layer, kind)
    ]
    for number, size in enumerate(sizes(config, grid)):
        inputs = _drawn(config, size, seed + number, dtype)
        steps = reference.trace(*inputs, names=[*compared, "norm"])
        truth = steps["norm"].swapaxes(0, 1) if network.batch_first else steps["norm"]
        reach = max(largest_logit(steps, step) for step in compared if ".k" in step)
        wrong = np.abs(run(inputs).astype(np.float64) - truth)
        # max keeps NaN, which is within no bound.
        largest, magnitude = float(wrong.max()), float(np.abs(truth).max()) or 1.0
        yield StepDifference(str(size), truth.shape, largest, largest / magnitude, bound(dtype, reach))


def _drawn(config: Config, size: Size, seed: int, dtype: str) -> Inputs:
    """Inputs of that size in float64, rounded to `dtype`, in the layout of the config."""
    drawn = draw_inputs(config, seed, size.memories, size.pointers, size.objects, size.grid)
    swaps = not config.memory_attention.batch_first

    def rounded(array: np.ndarray | None) -> np.ndarray:
        assert array is not None
        return (array.swapaxes(0, 1) if swaps else array).astype(dtype).astype(np.float64)

    curr, memory, curr_pos, memory_pos = map(rounded, drawn[:4])
    return Inputs(curr, memory, curr_pos, memory_pos, *drawn[4:])
