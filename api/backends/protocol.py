"""What a backend must offer."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..configs import Config
from ..rules.record import Record


class Network(Protocol):
    """A memory attention with its weights, on its device, in its dtype."""

    def __call__(
        self,
        curr: Any,
        memory: Any,
        curr_pos: Any,
        memory_pos: Any,
        num_obj_ptr_tokens: int,
        grid: tuple[int, int] | None,
        record: Record | None,
    ) -> Any:
        """Take checked NumPy arrays [N,B,C], [M,B,C_m] (positions may be none) and return a NumPy array.

        Where `record` is given, hand it every step's output, as a NumPy array, under the step's name; the
        names are those of the reference. A backend may also take arrays of its own, and then returns such.
        """
        ...


@runtime_checkable
class Backend(Protocol):
    """What builds a `Network`; an object with this one method, a module included, is a backend."""

    def build(self, config: Config, weights: Mapping[str, np.ndarray], device: str | None, dtype: str) -> Network:
        """Build the network of `config` with these parameters (SAM 2's names) on `device` in `dtype`.

        Raises `ValueError` for a device or dtype that is not to be had.
        """
        ...
