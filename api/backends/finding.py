"""The backends by name."""

import os
from importlib.metadata import entry_points

from ..rules.packages import require
from .protocol import Backend

ENTRY_POINTS = "memory_attention.backends"
ENVIRONMENT_VARIABLE = "MEMORY_ATTENTION_BACKEND"

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
        from . import reference

        return name, reference
    if name == "accelerated":
        require("torch", "the accelerated backend")
        from . import accelerated

        return name, accelerated
    if name in _registered:
        return name, _registered[name]
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            return name, entry.load()
    raise ValueError(f"backend is {name!r}, expected one of {', '.join(available_backends())}")
