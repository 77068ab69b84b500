"""The tracker's weights: one file with every parameter by its name, and what made it."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors import safe_open
from safetensors.numpy import save_file

from ..checkpoints.tensors import as_array, safetensors_entries
from ..configs import Config, bank_parameter_shapes, load_config
from ..files import whole_file
from ..weights import Weights, parameter_shapes
from .network import network_shapes

WEIGHTS = Path(__file__).parent / "weights.safetensors"


def tracker_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Every parameter of the tracker by name, with its shape."""
    return parameter_shapes(config) | bank_parameter_shapes(config) | network_shapes(config)


def write_tracker(
    path: str | os.PathLike[str], weights: Mapping[str, Float[np.ndarray, "..."]], made_by: Mapping[str, str]
) -> None:
    """Write the weights and `made_by` (config, seed, command, …) whole or not at all."""
    with whole_file(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in weights.items()}, temporary, dict(made_by))


def read_tracker(path: str | os.PathLike[str] = WEIGHTS) -> tuple[Config, Weights, dict[str, str]]:
    """Read a tracker: its config, its parameters (float32) and what made it.

    Raises `FileNotFoundError`, or `ValueError` for a file that is no tracker, naming the parameter that is
    missing, extra or misshapen.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"weights: no such file: {path}")
    try:
        entries = safetensors_entries(Path(path))
        with safe_open(path, framework="numpy") as file:
            made_by = dict(file.metadata() or {})
    except Exception as error:
        # safetensors raises its own kinds; whatever the kind, the file could not be read.
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from None
    if "config" not in made_by:
        raise ValueError(f"{path}: the metadata name no config, expected the weights of a tracker")
    config = load_config(made_by["config"])
    shapes = tracker_shapes(config)
    for name in sorted(entries.keys() ^ shapes.keys()):
        raise ValueError(f"{path}: {'extra' if name in entries else 'missing'} parameter {name[:100]}")
    try:
        weights = {name: as_array(entries[name], name, shape) for name, shape in shapes.items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return config, {name: array.astype(np.float32) for name, array in weights.items()}, made_by


def check_tracker(weights: Mapping[str, Float[np.ndarray, "..."]], config: Config, where: str = "weights") -> None:
    """Raise for a parameter of `config` that is missing, no array, misshapen, or not finite, naming it."""
    if not isinstance(weights, Mapping):
        raise TypeError(f"{where} is {type(weights).__name__}, expected a mapping of names to arrays")
    for name, shape in tracker_shapes(config).items():
        if name not in weights:
            raise ValueError(f"{where}: missing parameter {name}")
        if not hasattr(weights[name], "shape"):
            raise TypeError(f"{where}: {name} is {type(weights[name]).__name__}, expected an array")
        if weights[name].shape != shape:
            raise ValueError(f"{where}: {name} has shape {weights[name].shape}, expected {shape}")
        if not np.isfinite(weights[name]).all():
            raise ValueError(f"{where}: {name} has values that are NaN or infinite")
