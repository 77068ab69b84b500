"""What both calls ask of a model, whichever host it is of."""

import pytest
import torch
from torch import nn

import memory_attention as ma
from memory_attention.accelerated import MemoryAttention


@pytest.mark.parametrize("call", [ma.accelerate, ma.restore])
def test_no_model(call):
    with pytest.raises(TypeError, match=r"model is dict, expected a torch\.nn\.Module"):
        call({"model": 1})


@pytest.mark.parametrize("call", [ma.accelerate, ma.restore])
def test_a_model_without_memory_attention(call):
    model = nn.Module()
    model.memory_attention = None
    with pytest.raises(ValueError, match="model is Module, in which no module is called memory_attention"):
        call(model)


def test_a_model_of_ours():
    model = nn.Module()
    model.memory_attention = MemoryAttention.from_config(ma.load_config("tiny").memory_attention)
    with pytest.raises(ValueError, match="is ours already"):
        ma.accelerate(model)


@pytest.mark.parametrize("call", [ma.accelerate, ma.restore])
def test_in_the_middle_of_a_compilation(call):
    model = nn.Module()
    model.memory_attention = original = nn.Linear(3, 5)
    with pytest.raises(Exception, match="inside torch.compile or a trace: call it before, on the model"):
        torch.compile(call, backend="eager", fullgraph=True)(model)
    assert model.memory_attention is original


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'memory_attention' has no attribute 'accelerated_model'"):
        _ = ma.accelerated_model
