"""The feed-forward network some tokens at a time is that of all, and hooks see it once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memory_attention as ma
from cases import seeds
from checks import error
from memory_attention.accelerated import feed_forward
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound


@pytest.mark.parametrize("hooked", ["norm3", "linear1", "dropout", "linear2", "every module"])
def test_who_hooks_the_feed_forward_is_called_once(hooked, monkeypatch):
    monkeypatch.setattr(feed_forward, "TOKENS_AT_ONCE", 5)
    config = ma.load_config("tiny")
    inputs = draw_inputs(config, objects=2)
    model = ma.load(config, "accelerated", device="cpu")
    expected, seen = model(*inputs), []
    layer = model.network.module.layers[0]
    part = getattr(layer, hooked, layer.linear1)

    def see(module, args, output):
        if module is part:
            seen.append(output.shape[:2])

    everywhere = torch.nn.modules.module.register_module_forward_hook
    handle = (everywhere if hooked == "every module" else part.register_forward_hook)(see)
    result = model(*inputs)
    handle.remove()
    assert error(result, expected) <= bound("float32")
    assert seen == [(2, 16)]


@given(seed=seeds, tokens=st.integers(1, 40), at_once=st.integers(1, 50), objects=st.integers(1, 3))
def test_the_feed_forward_some_tokens_at_a_time_is_that_of_all(seed, tokens, at_once, objects):
    torch.manual_seed(seed)
    layer = ma.load("tiny", "accelerated", device="cpu", dtype="float64").network.module.layers[0]
    parts = (layer.norm3, layer.linear1, layer.activation, layer.dropout, layer.linear2, layer.dropout3)
    x = torch.randn(tokens, objects, layer.d_model).double().transpose(0, 1)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(feed_forward, "TOKENS_AT_ONCE", tokens * objects)
        whole = feed_forward.feed_forward(x, *parts)
        patch.setattr(feed_forward, "TOKENS_AT_ONCE", at_once)
        torch.testing.assert_close(feed_forward.feed_forward(x, *parts), whole)
