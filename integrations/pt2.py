"""The memory attention as a program of `torch.export`, with the inputs of the ONNX graph."""

import os
from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.export import Dim

from ..accelerated import MemoryAttention, RoPEAttention
from ..accelerated.position import Places, rotary_table, rotate
from ..configs import Config
from ..inputs import Inputs
from ..rules.record import Record
from ..weights import PREFIX

MOST = 2**16
"""Frames, objects and pointer tokens that a program takes."""


class PlacedAttention(RoPEAttention):
    """Rotates memories and pointers in one piece, pointers by zero: no key is cut off, any number will do."""

    def _places(
        self, num_queries: int, num_keys: int, num_k_exclude_rope: int, grid: tuple[int, int] | None
    ) -> Places:
        assert grid is not None
        # The number of pointers stays the one that was given: of a difference a program would not know the sign.
        self._placeless = num_k_exclude_rope
        return Places(*grid, (num_keys - num_k_exclude_rope) // (grid[0] * grid[1]), self.rope_theta)

    def _encode(
        self,
        query: Float[Tensor, "#B H N d"],
        key: Float[Tensor, "B H M d"],
        places: Places | None,
        record: Record,
        in_place: bool = False,
    ) -> tuple[Float[Tensor, "#B H N d"], Float[Tensor, "B H M d"]]:
        assert places is not None
        height, width, frames, theta = places
        table = rotary_table(height, width, query.shape[-1], theta, query.device, query.dtype)
        unturned = torch.tensor([1.0, 0.0], dtype=table.dtype).expand(self._placeless, table.shape[1], 2)
        return rotate(query, table), rotate(key, torch.cat([table.repeat(frames, 1, 1), unturned]))


class SplitInputs(nn.Module):
    """A memory attention that takes memories and pointers apart, for frames of one grid."""

    def __init__(self, module: MemoryAttention, grid: tuple[int, int]) -> None:
        super().__init__()
        self.module = module
        self.grid = grid

    def forward(
        self,
        curr: Tensor,
        curr_pos: Tensor,
        memory: Tensor,
        memory_pos: Tensor,
        pointers: Tensor,
        pointers_pos: Tensor,
    ) -> Tensor:
        """Join them, and call."""
        axis = 0 if self.module.batch_first else 1
        joined = (torch.cat(pair, axis) for pair in ((memory, pointers), (memory_pos, pointers_pos)))
        tokens, positions = joined
        return self.module(curr, tokens, curr_pos, positions, pointers.shape[axis], self.grid)


def split_module(
    config: Config, weights: Mapping[str, np.ndarray], dtype: str, grid: tuple[int, int]
) -> SplitInputs:
    """The network with these parameters, ready to be exported."""
    network = config.memory_attention
    module = MemoryAttention.from_config(network)
    if network.layer.cross_attention.rotary:
        for layer in module.layers:
            layer.cross_attn_image = PlacedAttention(**network.layer.cross_attention.arguments())
    own = {name.removeprefix(PREFIX): w for name, w in weights.items() if name.startswith(PREFIX)}
    module.load_state_dict({name: torch.from_numpy(w.copy()) for name, w in own.items()})
    return SplitInputs(module.to(getattr(torch, dtype)).eval(), grid)


def write_program(
    path: str | os.PathLike[str],
    config: Config,
    weights: Mapping[str, np.ndarray],
    dtype: str,
    grid: tuple[int, int],
) -> None:
    """Write the program, with free numbers of frames (at least one), pointer tokens and objects."""
    network = config.memory_attention
    tokens = grid[0] * grid[1]
    repeats = network.layer.cross_attention.rope_k_repeat or not network.layer.cross_attention.rotary
    frames, objects = Dim("frames", min=1, max=MOST), Dim("objects", min=1, max=MOST)
    kinds = (
        (tokens, None, network.d_model),
        (2 * tokens if repeats else tokens, tokens * frames if repeats else None, network.memory_dim),
        (3, Dim("pointer_tokens", min=0, max=MOST), network.memory_dim),
    )
    arguments, dims = [], []
    for count, free, channels in kinds:
        shape = (count, 2, channels) if network.batch_first else (2, count, channels)
        free_dims = (free, objects) if network.batch_first else (objects, free)
        for _ in range(2):
            arguments.append(torch.zeros(shape, dtype=getattr(torch, dtype)))
            dims.append({axis: dim for axis, dim in enumerate(free_dims) if dim is not None})
    with torch.no_grad():
        program = torch.export.export(
            split_module(config, weights, dtype, grid), tuple(arguments), dynamic_shapes=tuple(dims)
        )
    torch.export.save(program, path)


def read_program(
    path: str | os.PathLike[str], config: Config, dtype: str
) -> Callable[[Inputs], Float[np.ndarray, "N B C"]]:
    """What runs a program on inputs in float64, all given but the grid, which the program has for good."""
    program = torch.export.load(path).module()
    axis = 0 if config.memory_attention.batch_first else 1

    def run(inputs: Inputs) -> np.ndarray:
        curr, memory, curr_pos, memory_pos = (
            torch.from_numpy(np.ascontiguousarray(array)).to(getattr(torch, dtype)) for array in inputs[:4]
        )
        cut = [memory.shape[axis] - inputs.num_obj_ptr_tokens, inputs.num_obj_ptr_tokens]
        (spatial, pointers), (of_spatial, of_pointers) = memory.split(cut, axis), memory_pos.split(cut, axis)
        with torch.no_grad():
            return program(curr, curr_pos, spatial, of_spatial, pointers, of_pointers).numpy()

    return run
