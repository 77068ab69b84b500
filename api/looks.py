"""A look: where the queries of one object looked in one frame."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

LEAST_ON_MEMORY = 0.1
"""The share of the attention from which on a layer is one that looks at memories."""


def last_on_memory(shares: Mapping[int, float]) -> int:
    """Of the shares that memories get by layer, the last layer that looks at memories; if none does, the last."""
    return max((layer for layer, share in shares.items() if share >= LEAST_ON_MEMORY), default=max(shares))


@dataclass(frozen=True)
class Look:
    """Where the queries of one object looked in one frame.

    `rows` are softmax rows [H,Q,M] (float32) of the tokens `queries` on the (h, w) `grid`, by kind and layer:
    `("cross", 0)` at the memory, `("self", 0)` at the frame itself. The memory is h·w tokens for each of
    `memory_frames`, then as many for each of `pointer_frames` as make `num_obj_ptr_tokens` of all; both are none
    where it is unknown whose they are. `prompted` are those of them that the user prompted. `frame` is the
    host's number, or where `frame_known` is off, the number of the call.
    """

    frame: int
    object: str
    grid: tuple[int, int]
    queries: Int[np.ndarray, " Q"]
    rows: Mapping[tuple[str, int], Float[np.ndarray, "H Q M"]]
    num_obj_ptr_tokens: int = 0
    memory_frames: tuple[int, ...] | None = None
    pointer_frames: tuple[int, ...] | None = None
    prompted: tuple[int, ...] = ()
    frame_known: bool = True
    backwards: bool = False

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers whose attention at the memory is there."""
        return tuple(sorted(layer for kind, layer in self.rows if kind == "cross"))

    @property
    def nbytes(self) -> int:
        """What the rows take in memory."""
        return sum(rows.nbytes for rows in self.rows.values())

    @property
    def num_tokens(self) -> int:
        """h·w, the tokens of a frame."""
        return self.grid[0] * self.grid[1]

    @property
    def num_memories(self) -> int:
        """How many memory frames are looked at."""
        tokens = self.rows["cross", self.layers[0]].shape[-1]
        return (tokens - self.num_obj_ptr_tokens) // self.num_tokens

    def at_memory(self, layer: int) -> Float[np.ndarray, "H Q M"]:
        """The rows of a layer at the memory. Raises `ValueError` for one that was not recorded."""
        if ("cross", layer) not in self.rows:
            known = ", ".join(map(str, self.layers))
            raise ValueError(f"layer {layer} was not recorded, expected one of {known}")
        return self.rows["cross", layer]

    @property
    def layer_on_memory(self) -> int:
        """`last_on_memory` of the queries that were recorded."""
        spatial = self.rows["cross", self.layers[0]].shape[-1] - self.num_obj_ptr_tokens
        return last_on_memory(
            {layer: float(self.at_memory(layer)[..., :spatial].sum(-1).mean()) for layer in self.layers}
        )

    def cut(
        self, row: Float[np.ndarray, "*rest M"]
    ) -> tuple[list[Float[np.ndarray, "*rest hw"]], list[Float[np.ndarray, "*rest p"]]]:
        """A row at the memory in its parts: those of the memory frames, and those of the pointers.

        Pointers of which it is unknown whose they are stay together.
        """
        spatial = row.shape[-1] - self.num_obj_ptr_tokens
        memories = np.split(row[..., :spatial], range(self.num_tokens, spatial, self.num_tokens), axis=-1)
        if not self.num_obj_ptr_tokens:
            return memories, []
        return memories, np.split(row[..., spatial:], len(self.pointer_frames or (0,)), axis=-1)
