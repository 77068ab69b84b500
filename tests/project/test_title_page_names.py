"""The names on the title page of the reference are those of signatures, settings and Hugging Face."""

import ast
import importlib.util
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from title_page import cells_under, code_in

import memory_attention as ma
from memory_attention import reference
from memory_attention.configs import bank_parameter_shapes
from memory_attention.reference.cross_attention import cross_attention
from memory_attention.reference.self_attention import self_attention


def names_of(*callables):
    return {name for each in callables for name in inspect.signature(each).parameters}


def test_the_names_of_the_inputs_are_those_of_the_signatures():
    attention = reference.RoPEAttention
    ours = [
        names_of(reference.MemoryAttention.forward),
        names_of(reference.MemoryAttentionLayer.forward, self_attention, cross_attention),
        names_of(attention.forward, attention.__init__),
    ]
    rows = cells_under("### What goes in")
    for row in rows:
        for cell, names in zip(row[1:4], ours, strict=True):
            assert set(code_in(cell)) <= names, row
    shown = {name for row in rows for name in code_in(row[1])}
    assert shown == names_of(reference.MemoryAttention.forward) - {"self", "record"}


def test_the_names_of_hugging_face_are_its_own():
    """Its files are parsed, not imported, which would take long."""
    package = importlib.util.find_spec("transformers")
    if package is None:
        pytest.skip("transformers is not installed")
    folder = Path(package.origin).parent / "models" / "sam2_video"
    code, settings = ((folder / f"{kind}_sam2_video.py").read_text() for kind in ("modeling", "configuration"))
    assert "0.1 * current_vision_position_embeddings" in code
    classes = {node.name: node for node in ast.parse(code).body if isinstance(node, ast.ClassDef)}
    inputs = {
        node.arg
        for part in ("MemoryAttention", "MemoryAttentionLayer", "RoPEAttention")
        for node in ast.walk(classes[f"Sam2Video{part}"])
        if isinstance(node, ast.arg)
    }
    fields = set(re.findall(r"^    (\w+): .* = ", settings, re.MULTILINE))
    for row in cells_under("### What goes in"):
        assert set(code_in(row[4])) <= inputs | fields, row
    for row in cells_under("### Sizes and settings"):
        assert set(code_in(row[2])) <= fields, row
    for row in cells_under("### Parameters"):
        assert all(f"self.{name} = " in code for name in code_in(row[2])), row


def test_the_names_of_the_settings_are_the_schemas():
    config = ma.load_config("sam2.1_hiera_t")
    network = config.memory_attention
    nodes = (network, network.layer, network.layer.cross_attention, config.memory_bank)
    fields = {name for node in nodes for name in type(node).model_fields}
    for row in cells_under("### Sizes and settings"):
        assert code_in(row[1])
        assert set(code_in(row[1])) <= fields, row


def test_weights_under_hugging_faces_names_are_the_same():
    """The table of parameters is whole: with its names alone a loader finds everything."""
    config = ma.load_config("sam2.1_hiera_t")
    drawn = ma.load("sam2.1_hiera_t").weights
    weights = {name: drawn[name] + np.float32(index) for index, name in enumerate(drawn)}
    shapes = bank_parameter_shapes(config)
    pairs = {}
    for shape, ours, theirs in cells_under("### Parameters"):
        pairs |= dict(zip(code_in(ours), code_in(theirs), strict=True))
        for name in code_in(ours):
            own = shapes.get(name) or shapes.get(f"{name}.weight")
            assert shape == ("" if own is None else str(list(own))), name
    assert {name.split(".")[0] for name in shapes} <= pairs.keys()
    renamed = {".".join(pairs.get(part, part) for part in name.split(".")): weights[name] for name in weights}
    assert renamed.keys().isdisjoint(name for name in weights if pairs.keys() & name.split("."))
    loaded = ma.load("sam2.1_hiera_t", weights=renamed).weights
    assert loaded.keys() == weights.keys()
    assert all(np.array_equal(loaded[name], weights[name]) for name in weights)
