"""Inputs of a model: drawn from a seed, or read from an `.npz` file."""

import os
from typing import NamedTuple

import numpy as np

from .configs import Config
from .files import check_size, read_npz

SAM2_POINTERS = 16


class Inputs(NamedTuple):
    """The arguments of a model's call, in their order."""

    curr: np.ndarray
    memory: np.ndarray
    curr_pos: np.ndarray | None = None
    memory_pos: np.ndarray | None = None
    num_obj_ptr_tokens: int = 0
    grid: tuple[int, int] | None = None


def draw_inputs(
    config: Config,
    seed: int = 0,
    memories: int | None = None,
    pointers: int | None = None,
    objects: int = 1,
    grid: tuple[int, int] | None = None,
) -> Inputs:
    """Draw normal inputs (float32): `memories` frames and `pointers` object pointers for each object.

    Without other wishes as many as SAM 2 typically has: a full bank and 16 pointers, on the config's grid.
    """
    bank, network = config.memory_bank, config.memory_attention
    memories = bank.num_maskmem if memories is None else memories
    wanted = min(bank.max_obj_ptrs_in_encoder, SAM2_POINTERS) if pointers is None else pointers
    pointer_tokens = wanted * config.num_pointer_tokens if bank.use_obj_ptrs_in_encoder else 0
    height, width = grid or config.grid
    tokens, memory_tokens = height * width, memories * height * width + pointer_tokens

    numbers = 2 * objects * (tokens * network.d_model + memory_tokens * network.memory_dim)
    check_size(4 * numbers, f"a grid of {height} × {width} with {memories} memories and {objects} object(s)")
    rng = np.random.default_rng(seed)

    def draw(count: int, channels: int) -> np.ndarray:
        return rng.standard_normal((count, objects, channels), np.float32)

    return Inputs(
        curr=draw(tokens, network.d_model),
        memory=draw(memory_tokens, network.memory_dim),
        curr_pos=draw(tokens, network.d_model),
        memory_pos=draw(memory_tokens, network.memory_dim),
        num_obj_ptr_tokens=pointer_tokens,
        grid=(height, width),
    )


def read_inputs(path: str | os.PathLike[str]) -> Inputs:
    """Read inputs from an `.npz` file with arrays of the names of `Inputs`; curr and memory must be there.

    Raises `ValueError` for a file that is none, or that has other names in it.
    """
    arrays = read_npz(path)
    unknown = arrays.keys() - set(Inputs._fields)
    if unknown:
        raise ValueError(f"{path}: has the array {min(unknown)!r}, expected {', '.join(Inputs._fields)}")
    for name in ("curr", "memory"):
        if name not in arrays:
            raise ValueError(f"{path}: has no array {name!r}, expected {', '.join(Inputs._fields)}")
    pointers = _whole_numbers(arrays.get("num_obj_ptr_tokens", np.array(0)), "num_obj_ptr_tokens", 1, path)
    grid = _whole_numbers(arrays["grid"], "grid", 2, path) if "grid" in arrays else None
    return Inputs(
        curr=arrays["curr"],
        memory=arrays["memory"],
        curr_pos=arrays.get("curr_pos"),
        memory_pos=arrays.get("memory_pos"),
        num_obj_ptr_tokens=pointers[0],
        grid=None if grid is None else (grid[0], grid[1]),
    )


def _whole_numbers(array: np.ndarray, name: str, count: int, path: str | os.PathLike[str]) -> list[int]:
    if array.size != count or array.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: {name} has shape {array.shape} and dtype {array.dtype}, expected {count} whole number(s)"
        )
    return [int(number) for number in array.ravel()]
