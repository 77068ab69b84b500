"""Whose memories and pointers a memory attention is given: they are compared with what the host keeps."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Token = Float[Tensor, "B K"]


def confirmed(
    named: Sequence[int] | None,
    found: Float[Tensor, "F B K"],
    outputs: Mapping[int, Any],
    token_of: Callable[[Any, int], Token | None],
) -> tuple[int, ...] | None:
    """The numbers of the frames of which `found` are the first tokens, or none where that cannot be said.

    Those that were `named`, if what the host keeps of them is what it gave; else the frames that have these
    very tokens, if there is one for each. So a fork that chooses other memories is not believed to have
    chosen SAM 2's.
    """
    kept = {number: token_of(output, found.shape[-1]) for number, output in outputs.items()}
    if named is not None and len(named) == len(found):
        pairs = zip(named, found, strict=True)
        if all(number in kept and _same(kept[number], token) for number, token in pairs):
            return tuple(named)
    matches = [[number for number, one in kept.items() if _same(one, token)] for token in found]
    return tuple(match[0] for match in matches) if all(len(match) == 1 for match in matches) else None


def memory_token(output: Any, channels: int) -> Token | None:
    """The first token of a frame's memory: [B,C_m,h,w] in SAM 2, [h·w,B,C_m] in `transformers`."""
    memory = output.get("maskmem_features")
    if memory is None:
        return None
    return memory.flatten(2)[:, :, 0] if memory.ndim == 4 else memory[0]


def pointer_token(output: Any, channels: int) -> Token | None:
    """The first token of a frame's pointer: [B,C] in SAM 2, [B,1,C] in `transformers`."""
    pointer = output.get("obj_ptr", output.get("object_pointer"))
    return None if pointer is None else pointer.flatten(0, -2)[:, :channels]


def _same(kept: Token | None, token: Token) -> bool:
    return kept is not None and torch.equal(kept.to(token), token)
