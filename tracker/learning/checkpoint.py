"""The checkpoint of a training: all that going on needs, in a file that runs no code when it is read."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...files import whole_file
from ...rules.numbers import whole_number
from .recipe import Recipe

CHECKPOINT = "checkpoint.pt"
ENTRIES = {"recipe", "step", "seconds", "parameters", "average", "optimisers"}


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state with these `ENTRIES`, whole or not at all."""
    with whole_file(path) as temporary:
        torch.save(state, temporary)


def read_checkpoint(path: Path, recipe: Recipe) -> dict[str, Any]:
    """What `write_checkpoint` wrote. Raises `ValueError` for a file that is none, or of another recipe."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if state.keys() != ENTRIES:
            raise KeyError("other entries than a checkpoint's")
        made_by = Recipe(**state["recipe"] | {"lengths": tuple(state["recipe"]["lengths"])})
        whole_number(state["step"], "step", most=made_by.steps, counted="steps")
    except Exception as error:
        # Unpickling raises many kinds; whatever the kind, the file could not be read.
        raise ValueError(
            f"{path}: not a readable checkpoint ({reason_of(error)}); remove it to start anew"
        ) from None
    differing = [name for name in asdict(recipe) if getattr(made_by, name) != getattr(recipe, name)]
    if differing:
        words = ", ".join(f"{name} {getattr(made_by, name)}, not {getattr(recipe, name)}" for name in differing)
        raise ValueError(
            f"{path} is of another recipe, with {words}: the clips and the learning rate of every step follow "
            "from it, so give the same to go on, or take another folder"
        )
    return state


def check_same(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], where: str) -> None:
    """Raise `ValueError` unless these are tensors of the same names and shapes."""
    for name in sorted(expected.keys() ^ found.keys()):
        raise ValueError(f"{where}: {'extra' if name in found else 'missing'} parameter {name}")
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape:
            shapes = tuple(found[name].shape), tuple(tensor.shape)
            raise ValueError(f"{where}: {name} has shape {shapes[0]}, expected {shapes[1]}")


def reason_of(error: Exception) -> str:
    """One line of what went wrong."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
