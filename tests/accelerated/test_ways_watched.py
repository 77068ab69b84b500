"""Who listens to the steps sees each of them whole, as it was: no fast way is taken."""

import numpy as np
import pytest
import torch

import memory_attention as ma
from checks import error
from memory_attention.accelerated import feed_forward
from memory_attention.inputs import draw_inputs
from memory_attention.rules.record import unrecorded
from memory_attention.tolerances import bound

CONFIG = ma.load_config("tiny")


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(feed_forward, "TOKENS_AT_ONCE", 5)
    model = ma.load(CONFIG, "accelerated", device="cpu")
    model.network.module.layers[0].cross_attn_image.memory_space = True
    return model


def test_every_step_that_is_heard_is_the_references(model):
    """Keys that are turned where they lie, values in memory space and some tokens at a time would show here."""
    inputs = draw_inputs(CONFIG, memories=3, pointers=2, objects=2, grid=(2, 3))
    expected = ma.load(CONFIG, "reference").trace(*inputs)
    found = model.trace(*inputs)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        assert error(found[name], value) <= bound("float32", 10), name


def test_a_listener_sees_the_keys_before_they_are_turned(model):
    """Held as the tensors that they are, none is written over afterwards."""
    held, then = {}, {}
    inputs = draw_inputs(CONFIG, memories=3, objects=2, grid=(2, 3))

    def listen(name, value):
        held[name], then[name] = value, np.array(value)
        return value

    model.run(inputs, listen)
    for name, value in held.items():
        np.testing.assert_array_equal(value, then[name], err_msg=name)


def test_without_a_listener_the_fast_ways_are_taken(model):
    """Else the two tests above would hold for nothing."""
    attention = model.network.module.layers[0].cross_attn_image
    query, key, memory = torch.ones(1, 1, 6, 16), torch.ones(1, 1, 18, 16), torch.ones(1, 18, 8)
    with torch.no_grad():
        assert attention._form(query, key, memory, unrecorded)[::2] == (True, True)
        assert attention._form(query, key, memory, lambda _, value: value)[::2] == (False, False)
