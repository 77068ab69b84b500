"""A memory attention as one ONNX model, which says in its metadata of which config and weights it is."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import ModelProto

from ...configs import Config
from ...weights import PREFIX
from ..form import Form
from .graph import Graph
from .network import Network

LARGEST = 2**31 - 2**20
"""Bytes of weights that one file of this format can hold."""

VERSION = "1"
FIELD = "memory_attention."


def build_model(config: Config, weights: Mapping[str, np.ndarray], form: Form, traced: bool = False) -> ModelProto:
    """Write the network as an ONNX model; `traced` gives every step as an output under its name.

    Raises `ValueError` for weights that one ONNX file cannot hold.
    """
    size = sum(array.size for array in weights.values()) * np.dtype(form.dtype).itemsize
    if size > LARGEST:
        raise ValueError(f"the weights take {size / 1e9:.3g} GB in {form.dtype}, more than an ONNX file's 2 GB")
    graph = Graph(form.dtype)
    network = Network(graph, form, config.memory_attention, weights)
    result = network.write()
    metadata = {f"{FIELD}{name}": text for name, text in _said(config, weights, form).items()}
    return graph.finish(result, network.output_dims(), form.opset, metadata, traced)


def _said(config: Config, weights: Mapping[str, np.ndarray], form: Form) -> dict[str, str]:
    grid = "free" if form.grid is None else ",".join(map(str, form.grid))
    said = {"version": VERSION, "config": config.memory_attention.model_dump_json(), "weights": digest(weights)}
    return said | {"dtype": form.dtype, "grid": grid, "opset": str(form.opset)}


def digest(weights: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the memory attention's parameters, in float32 and in the order of their names."""
    found = hashlib.sha256()
    for name in sorted(name for name in weights if name.startswith(PREFIX)):
        found.update(name.encode())
        found.update(np.ascontiguousarray(weights[name], "<f4").tobytes())
    return found.hexdigest()


def check_said(metadata: Mapping[str, str], config: Config, weights: Mapping[str, np.ndarray], dtype: str) -> None:
    """Raise `ValueError`, naming what differs, unless a model is of this config, these weights and this dtype."""
    said = {name.removeprefix(FIELD): text for name, text in metadata.items() if name.startswith(FIELD)}
    if said.get("version") != VERSION:
        found = said.get("version", "none")
        raise ValueError(f"its version is {found}, expected {VERSION}: is it from `memory-attention export`?")
    theirs, ours = json.loads(said["config"]), config.memory_attention.model_dump(mode="json")
    difference = _first_difference(theirs, ours, "memory_attention")
    if difference:
        raise ValueError(f"it is of another config than {config.name!r}: {difference}")
    if said["dtype"] != dtype:
        raise ValueError(f"its dtype is {said['dtype']}, expected {dtype}")
    if said["weights"] != digest(weights):
        raise ValueError("its weights are not those that were given")


def grid_said(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """The grid (h, w) that a model has for good, or none."""
    said = metadata[f"{FIELD}grid"]
    if said == "free":
        return None
    height, width = map(int, said.split(","))
    return height, width


def _first_difference(theirs: Mapping[str, Any], ours: Mapping[str, Any], where: str) -> str | None:
    for name, value in ours.items():
        place, other = f"{where}.{name}", theirs.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            found = _first_difference(other, value, place)
        else:
            found = None if other == value else f"{place} is {other}, expected {value}"
        if found:
            return found
    return None
