"""Beside the steps: many objects on one frame. Those that see equally long memories share it, as one batch."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..rules.alike import alike
from ..rules.bank_contract import check_shared_frame, grid_of_memories
from .calls import options
from .foreign import grid_for
from .memory_bank import MemoryBank, MemoryTokens


def attend_together(
    attention: Callable[..., Float[Tensor, "N B C"]],
    banks: Sequence[MemoryBank],
    features: Float[Tensor, "N 1 C"],
    features_pos: Float[Tensor, "N 1 C"] | None,
    frame: int,
    num_frames: int | None,
    backwards: bool = False,
    training: bool = False,
) -> list[Float[Tensor, "N _B C"]]:
    """What the objects of each bank remember on one frame, in the banks' order: as by `attend`, bank after bank.

    Banks that see as many memories and pointers go through `attention`, a `MemoryAttention` or what is called
    like one, as one batch, and what does not depend on the object is computed once: all up to the first
    cross-attention. No bank may see the frame as its first, or have `num_maskmem` 0. The rest, errors too, is as
    in `MemoryBank.attend`.
    """
    seen, grid = [], None
    for bank in banks:
        check_shared_frame(features, bank.d_model, Tensor)
        seen.append(bank.tokens(frame, num_frames, backwards, training, features.dtype))
        grid = grid_of_memories(grid, bank.memories[seen[-1].memory_frames[0]], features)
    return attend_to_each(attention, features, features_pos, seen, grid)


def attend_to_each(
    attention: Callable[..., Float[Tensor, "N B C"]],
    features: Float[Tensor, "N 1 C"],
    features_pos: Float[Tensor, "N 1 C"] | None,
    seen: Sequence[MemoryTokens],
    grid: tuple[int, int] | None,
) -> list[Float[Tensor, "N _B C"]]:
    """Let a frame look at each of `seen`, with one call for all that are equally long."""
    found: dict[int, Float[Tensor, "N _B C"]] = {}
    for group in alike((len(tokens.memory), tokens.num_obj_ptr_tokens) for tokens in seen):
        sizes = [seen[place].memory.shape[1] for place in group]
        result = attention(
            curr=features.expand(-1, sum(sizes), -1),
            memory=_joined([seen[place].memory for place in group]),
            curr_pos=None if features_pos is None else features_pos.expand(-1, sum(sizes), -1),
            memory_pos=_joined([seen[place].memory_pos for place in group]),
            num_obj_ptr_tokens=seen[group[0]].num_obj_ptr_tokens,
            **options(grid=grid_for(attention, grid)),
        )
        found |= zip(group, result.split(sizes, dim=1), strict=True)
    return [found[place] for place in range(len(seen))]


def _joined(tokens: Sequence[Float[Tensor, "M _B K"]]) -> Float[Tensor, "M B K"]:
    """Side by side, laid batch-first, which is how the attention takes them."""
    return torch.cat([each.transpose(0, 1) for each in tokens]).transpose(0, 1)
