"""How much of an object's attention each memory frame and each pointer gets, frame by frame."""

import html
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from .looks import Look

UNKNOWN = "unknown"
"""What stands for memory frames and pointers of which the host does not say whose they are."""


class Shares(NamedTuple):
    """The share of attention that each memory frame and each pointer gets, frame by frame.

    `memories` [T,F] has a column for each of `memory_frames`, `pointers` [T,P] for each of `pointer_frames`;
    a frame that was not seen is NaN. The numbers of a row that are not NaN sum to one. What is unknown shares
    one column, `"unknown"`.
    """

    frames: tuple[int, ...]
    memory_frames: tuple[int | str, ...]
    memories: Float[np.ndarray, "T F"]
    pointer_frames: tuple[int | str, ...]
    pointers: Float[np.ndarray, "T P"]

    def to_html(self, caption: str, most: int = 10) -> str:
        """The last frames, and the memories that they saw, as a small table."""
        first = max(0, len(self.frames) - most)
        seen = [i for i in range(len(self.memory_frames)) if not np.isnan(self.memories[first:, i]).all()][-most:]
        lines = [["frame", *(f"memory {self.memory_frames[i]}" for i in seen), "pointers"]]
        for index in range(first, len(self.frames)):
            shares = [self.memories[index, i] for i in seen] + [np.nansum(self.pointers[index])]
            lines.append(
                [str(self.frames[index]), *("" if np.isnan(share) else f"{share:.0%}" for share in shares)]
            )
        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in line)}</tr>" for line in lines)
        return f"<table><caption>{html.escape(caption)}</caption>{rows}</table>"


def shares_of(looks: Sequence[Look], layer: int | None) -> Shares:
    """The shares in looks at frame after frame, the mean over queries, heads and layers, or of one `layer`."""
    memories, pointers = zip(*(_shares(look, layer) for look in looks), strict=True)
    frames = tuple(look.frame for look in looks)
    return Shares(frames, *_table(memories), *_table(pointers))


def _shares(look: Look, layer: int | None) -> tuple[dict[Any, float], dict[Any, float]]:
    layers = look.layers if layer is None else (layer,)
    row = np.mean([look.at_memory(one).mean(axis=(0, 1), dtype=np.float64) for one in layers], axis=0)
    memories, pointers = look.cut(row)
    return _by_number(memories, look.memory_frames), _by_number(pointers, look.pointer_frames)


def _by_number(parts: list[np.ndarray], numbers: tuple[int, ...] | None) -> dict[Any, float]:
    shares: dict[Any, float] = {}
    for part, number in zip(parts, numbers or (UNKNOWN,) * len(parts), strict=True):
        shares[number] = shares.get(number, 0.0) + float(part.sum())
    return shares


def _table(shares: Sequence[dict[Any, float]]) -> tuple[tuple[int | str, ...], Float[np.ndarray, "T F"]]:
    """The numbers in order, what is unknown last, and the share of each in every frame."""
    names = {name for share in shares for name in share}
    columns = (*sorted(names - {UNKNOWN}), *(names & {UNKNOWN}))
    rows = [[share.get(name, np.nan) for name in columns] for share in shares]
    return columns, np.array(rows, np.float64).reshape(len(shares), len(columns))
