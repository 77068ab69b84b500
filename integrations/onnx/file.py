"""A memory attention as one ONNX model, which says in its metadata of which config and weights it is."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import ModelProto

from ...configs import Config
from ...configs.schema import MemoryAttentionConfig
from ...weights import PREFIX
from .form import Form
from .graph import Graph
from .network import Network

NAMES = ("curr", "curr_pos", "memory", "memory_pos", "pointers", "pointers_pos")
"""The inputs; a graph with a free grid has `grid` (h, w) after them."""

LARGEST = 2**31 - 2**20
"""Bytes of weights that one file of this format can hold."""

VERSION = "1"
FIELD = "memory_attention."


def build_model(config: Config, weights: Mapping[str, np.ndarray], form: Form, traced: bool = False) -> ModelProto:
    """Write the network as an ONNX model; `traced` gives every step as an output under its name.

    Raises `ValueError` for weights that one ONNX file cannot hold.
    """
    network = config.memory_attention
    size = sum(array.size for array in weights.values()) * np.dtype(form.dtype).itemsize
    if size > LARGEST:
        raise ValueError(
            f"the weights take {size / 1e9:.3g} GB in {form.dtype}, more than the 2 GB of an ONNX file"
        )
    graph = Graph(form.dtype)
    result = Network(graph, form, network, weights).write()
    tokens = form.grid[0] * form.grid[1] if form.grid else "tokens"
    order = (tokens, "objects") if network.batch_first else ("objects", tokens)
    metadata = {f"{FIELD}{name}": text for name, text in _said(config, weights, form).items()}
    return graph.finish(result, (*order, network.d_model), form.opset, metadata, traced)


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


def check_said(metadata: Mapping[str, str], config: Config, weights: Mapping[str, Any], where: str) -> Form:
    """The form of a file, if it is of this config and these weights; else `ValueError` naming what differs."""
    said = {
        name: metadata.get(f"{FIELD}{name}") for name in ("version", "config", "weights", "dtype", "grid", "opset")
    }
    if said["version"] != VERSION:
        raise ValueError(
            f"{where}: version is {said['version']}, expected {VERSION}: is it from memory-attention export?"
        )
    theirs = MemoryAttentionConfig.model_validate_json(said["config"] or "{}")
    difference = _first_difference(theirs.model_dump(), config.memory_attention.model_dump(), "memory_attention")
    if difference:
        raise ValueError(f"{where} is of another config than {config.name!r}: {difference}")
    if said["weights"] != digest(weights):
        raise ValueError(f"{where} has other weights than were given")
    return _form(said)


def _form(said: Mapping[str, str | None]) -> Form:
    grid = str(said["grid"])
    sides = None if grid == "free" else tuple(int(side) for side in grid.split(","))
    return Form(int(str(said["opset"])), str(said["dtype"]), None if sides is None else (sides[0], sides[1]))


def _first_difference(theirs: Mapping[str, Any], ours: Mapping[str, Any], where: str) -> str | None:
    for name, value in ours.items():
        place, other = f"{where}.{name}", theirs.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            found = _first_difference(other, value, place)
            if found:
                return found
        elif other != value:
            return f"{place} is {other} there, expected {value}"
    return None
