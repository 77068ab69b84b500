"""The memory attention of SAM 2, twice: a NumPy reference to read and a PyTorch backend that is fast."""

import importlib
from typing import Any

from .backends import Backend, Network, available_backends, register_backend
from .compare import compare
from .configs import Config, available_configs, load_config
from .listening import record
from .model import Model, load
from .queries import Box
from .recording import Recording, load_recording
from .tolerances import BOUNDS
from .weights import draw_weights, parameter_shapes, read_weights

__version__ = "0.1.0"

__all__ = [
    "BOUNDS",
    "Backend",
    "Box",
    "Config",
    "Model",
    "Network",
    "Recording",
    "available_backends",
    "available_configs",
    "compare",
    "draw_weights",
    "load",
    "load_config",
    "load_recording",
    "parameter_shapes",
    "read_weights",
    "record",
    "register_backend",
]


def __getattr__(name: str) -> Any:
    """`accelerate` and `restore`, for models of other programs, which need PyTorch."""
    if name in ("accelerate", "restore"):
        # integrations/ stands above this room, so it is found by name, and only when it is asked for.
        return getattr(importlib.import_module(f"{__name__}.integrations"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
