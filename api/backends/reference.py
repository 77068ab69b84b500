"""The reference as a backend."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..configs import Config
from ..reference import MemoryAttention
from ..rules.record import Record, unrecorded
from ..weights import PREFIX
from .protocol import Network


def build(config: Config, weights: Mapping[str, np.ndarray], device: str | None, dtype: str) -> Network:
    """Build the NumPy network; bfloat16, which NumPy lacks, is computed in float32 from rounded numbers."""
    if device not in (None, "cpu"):
        raise ValueError(f"device is {device!r}, expected 'cpu': the reference backend runs on NumPy")
    working = np.dtype("float32" if dtype == "bfloat16" else dtype)

    def convert(array: Any) -> np.ndarray:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"got {type(array).__name__}, expected NumPy arrays for the reference backend")
        return round_to_bfloat16(array) if dtype == "bfloat16" else array.astype(working)

    network = MemoryAttention.from_config(config.memory_attention)
    own = {name.removeprefix(PREFIX): convert(w) for name, w in weights.items() if name.startswith(PREFIX)}
    network.load_parameters(own)

    def forward(
        curr: Any,
        memory: Any,
        curr_pos: Any,
        memory_pos: Any,
        num_obj_ptr_tokens: int,
        grid: tuple[int, int] | None,
        record: Record | None,
    ) -> np.ndarray:
        arrays = (curr, memory, curr_pos, memory_pos)
        # Whoever calls looks at the numbers that go in and come out.
        with np.errstate(over="ignore", invalid="ignore"):
            inputs = [None if array is None else convert(array) for array in arrays]
            return network(*inputs, num_obj_ptr_tokens, grid, record or unrecorded)

    return forward


def round_to_bfloat16(array: np.ndarray) -> np.ndarray:
    """The nearest numbers that bfloat16 has (ties to even), held in float32."""
    bits = array.astype(np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    return np.where(np.isfinite(array), rounded, array.astype(np.float32))
