"""Memories that are missing at random in training, so that object pointers have to serve."""

from typing import Any

import numpy as np
from jaxtyping import Bool

Bank = Any


class DroppingBank:
    """A memory bank whose frames see fewer memories than it has, where pointers are left to serve.

    With the probability `dropped_at_once` a frame sees no memory at all, else each of them is missing with the
    probability `dropped_singly`, drawn from `rng`.
    """

    def __init__(
        self, bank: Bank, rng: np.random.Generator, dropped_at_once: float, dropped_singly: float
    ) -> None:
        self.bank, self.rng = bank, rng
        self.dropped_at_once, self.dropped_singly = dropped_at_once, dropped_singly

    def add(self, frame: int, **outputs: Any) -> None:
        """Store what a frame gave."""
        self.bank.add(frame, **outputs)

    def first_frame(self, features: Any) -> Any:
        """The features of a prompted frame, which sees no memory in any case."""
        return self.bank.first_frame(features)

    def tokens(self, frame: int, **options: Any) -> Any:
        """What the bank has for a frame, without the tokens of the missing memories."""
        found = self.bank.tokens(frame, **options)
        if not found.num_obj_ptr_tokens:
            return found
        kept = self._kept(len(found.memory_frames))
        spatial = len(found.memory) - found.num_obj_ptr_tokens
        tokens = np.append(np.repeat(kept, spatial // len(kept)), np.ones(found.num_obj_ptr_tokens, bool))
        where = np.flatnonzero(tokens)
        return found._replace(
            memory=found.memory[where],
            memory_pos=found.memory_pos[where],
            memory_frames=tuple(np.array(found.memory_frames)[kept].tolist()),
        )

    def _kept(self, count: int) -> Bool[np.ndarray, " count"]:
        at_once, each = self.rng.random(), self.rng.random(count)
        return (at_once >= self.dropped_at_once) & (each >= self.dropped_singly)
