"""What an attention is asked for, by its sizes, and the form in which it can be computed."""

from typing import NamedTuple

import torch

from ..rules.memory_space import memory_space_saves


class Form(NamedTuple):
    """Values in memory space or projected for every head, the kernel, and keys rotated where they lie or not."""

    memory_space: bool
    kernel: str
    in_place: bool = False


class Problem(NamedTuple):
    """The sizes of an attention: B, H, N, M, d and the channels K of the memory; (h, w) where keys are rotated."""

    batch: int
    heads: int
    queries: int
    keys: int
    head_dim: int
    memory_dim: int
    dtype: torch.dtype
    device: torch.device
    grid: tuple[int, int] | None = None

    @property
    def saves(self) -> bool:
        """Whether values in memory space are fewer FLOPs."""
        return memory_space_saves(self.queries, self.keys, self.head_dim, self.memory_dim)

    @property
    def rounded(self) -> "Problem":
        """The problem that is tried for all of about its size: objects and frames are a power of two, or fewer.

        Rounded down it takes no more memory than the problem itself.
        """
        frames = self.keys // self.queries
        keys = self.queries * _power_of_two(frames) if frames else _power_of_two(self.keys)
        return self._replace(batch=_power_of_two(self.batch), keys=keys)


def _power_of_two(number: int) -> int:
    """The largest that is not above the number."""
    return 1 << (number.bit_length() - 1)
