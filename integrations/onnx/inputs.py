"""What a caller feeds an exported graph, from the inputs of a model's call."""

import numpy as np

from ...configs.schema import MemoryAttentionConfig
from ...inputs import Inputs
from ...rules.contract import require_position
from ...rules.grids import frames_of_keys, grid_of
from ..form import LONGEST_SIDE
from .network import INPUTS


def split_inputs(inputs: Inputs, config: MemoryAttentionConfig) -> dict[str, np.ndarray]:
    """The inputs of a graph by name: pointers apart from memories.

    A position that is none is zero, which says the same. Raises `ValueError` where a flag asks for it.
    """
    curr, memory, curr_pos, memory_pos = inputs[:4]
    for flag, name in (
        ("pos_enc_at_attn", "curr_pos"),
        ("pos_enc_at_cross_attn_queries", "curr_pos"),
        ("pos_enc_at_cross_attn_keys", "memory_pos"),
    ):
        if getattr(config.layer, flag):
            require_position(getattr(inputs, name), name, flag)
    axis = 0 if config.batch_first else 1
    cut = memory.shape[axis] - inputs.num_obj_ptr_tokens
    curr_pos = np.zeros_like(curr) if curr_pos is None else curr_pos
    memory_pos = np.zeros_like(memory) if memory_pos is None else memory_pos
    (spatial, pointers), (of_spatial, of_pointers) = (np.split(x, [cut], axis) for x in (memory, memory_pos))
    return dict(zip(INPUTS, (curr, curr_pos, spatial, of_spatial, pointers, of_pointers), strict=True))


def grid_input(
    inputs: Inputs, config: MemoryAttentionConfig, fixed: tuple[int, int] | None
) -> dict[str, np.ndarray]:
    """The input `grid` of a graph, found and checked as every backend does; nothing where no token has a place.

    Raises `ValueError` for a grid that is not the graph's own, where that is `fixed`, or is beyond what it takes.
    """
    axis = 0 if config.batch_first else 1
    tokens, spatial = inputs.curr.shape[axis], inputs.memory.shape[axis] - inputs.num_obj_ptr_tokens
    own, cross = config.layer.self_attention, config.layer.cross_attention
    grids = {grid_of(tokens, inputs.grid, each.feat_sizes) for each in (own, cross) if each.rotary}
    if cross.rotary:
        frames_of_keys(spatial, tokens, cross.rope_k_repeat)
    if not grids:
        return {}
    if len(grids) > 1:
        raise ValueError(f"the feat_sizes of the two attentions are the grids {sorted(grids)}: give the grid")
    grid = grids.pop()
    if fixed is not None and grid != fixed:
        raise ValueError(f"grid is {grid}, expected {fixed}, which the graph has for good")
    if fixed is None and max(grid) > LONGEST_SIDE:
        raise ValueError(f"grid is {grid}, expected sides of at most {LONGEST_SIDE}")
    return {"grid": np.array(grid, np.int64)}
