"""What onnxruntime cannot run."""

import onnxruntime
import pytest

from exports import CONFIG, WEIGHTS
from memory_attention.integrations.form import Form
from memory_attention.integrations.onnx.file import build_model
from memory_attention.integrations.onnx.runtime import Session


def test_an_opset_that_it_does_not_know():
    model = build_model(CONFIG, WEIGHTS, Form())
    model.opset_import[0].version = 99
    message = f"onnxruntime {onnxruntime.__version__} cannot run this graph .*: expected a newer onnxruntime, or"
    with pytest.raises(ValueError, match=message):
        Session(model.SerializeToString())


def test_an_operator_that_it_does_not_know():
    model = build_model(CONFIG, WEIGHTS, Form())
    for node in model.graph.node:
        node.op_type = "Attention9" if node.op_type == "Attention" else node.op_type
    with pytest.raises(ValueError, match="cannot run this graph .*Attention9"):
        Session(model.SerializeToString())
