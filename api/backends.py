"""The backends by name, and what each must offer."""

import os
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .configs import Config
from .configs.contract import Record

ENTRY_POINTS = "memory_attention.backends"
ENVIRONMENT_VARIABLE = "MEMORY_ATTENTION_BACKEND"


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


_registered: dict[str, Backend] = {}


def register_backend(name: str, backend: Backend) -> None:
    """Make a backend known by a name, for `load`, the command line and the tests alike."""
    if not isinstance(backend, Backend):
        raise TypeError(f"backend is {type(backend).__name__}, expected an object with a method build")
    if name in ("reference", "accelerated"):
        raise ValueError(f"name is {name!r}, which is taken by a backend of our own")
    _registered[name] = backend


def available_backends() -> list[str]:
    """The names that `backend=` takes."""
    plugged = [entry.name for entry in entry_points(group=ENTRY_POINTS)]
    return ["reference", "accelerated", *sorted({*_registered, *plugged})]


def default_backend() -> str:
    """The environment variable's choice, else the reference."""
    return os.environ.get(ENVIRONMENT_VARIABLE) or "reference"


def find_backend(name: str | None) -> tuple[str, Backend]:
    """The backend of that name, or the default one, with its name. Raises `ValueError` for an unknown name."""
    name = name or default_backend()
    if name == "reference":
        from . import reference_backend

        return name, reference_backend
    if name == "accelerated":
        from . import accelerated_backend

        return name, accelerated_backend
    if name in _registered:
        return name, _registered[name]
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            return name, entry.load()
    raise ValueError(f"backend is {name!r}, expected one of {', '.join(available_backends())}")
