"""What does not fit a host, or comes out of turn, is refused, and the host stays as it was."""

import pytest
import torch
from torch import nn

import memory_attention as ma
from hosts import check_refused_as_it_was, randomise, sam2_config

pytest.importorskip("transformers", reason="the host is an optional dependency")

from transformers.models.sam2_video import modeling_sam2_video as sam2


class Holder(nn.Module):
    """The least that holds a memory attention."""

    def __init__(self, memory_attention):
        super().__init__()
        self.memory_attention = memory_attention


def holder():
    config = sam2_config()
    config._attn_implementation = "sdpa"
    return Holder(randomise(sam2.Sam2VideoMemoryAttention(config), 3))


class Other(sam2.Sam2VideoMemoryAttention):
    """A network of somebody else's."""


def other(model):
    model.memory_attention = Other(config_of(model))


def config_of(model):
    """In early transformers 5 only the attentions have it."""
    return layers(model)[0].self_attn.config


def layers(model):
    return model.memory_attention.layers


def set_in_config(**settings):
    return lambda model: vars(config_of(model)).update(settings)


BAD = {
    "is Other, which is another network than Sam2VideoMemoryAttention": other,
    "num_heads 8 does not divide": set_in_config(
        memory_attention_num_attention_heads=8, memory_attention_hidden_size=36
    ),
    "has 2 heads, expected 4 by memory_attention_num_attention_heads": lambda model: [
        setattr(config_of(model), "memory_attention_num_attention_heads", 4),
        setattr(
            model.memory_attention,
            "rotary_emb",
            sam2.Sam2VideoVisionRotaryEmbedding(config_of(model)),
        ),
    ],
    "has 2 layers, expected 3": set_in_config(memory_attention_num_layers=3),
    "maps 128 channels to 40, expected 128 to 44 by": set_in_config(memory_attention_feed_forward_hidden_size=44),
    r"layers.1.cross_attn_image.k_proj maps 60 channels to 32, expected 64 to 32": lambda model: setattr(
        layers(model)[1].cross_attn_image, "k_proj", nn.Linear(60, 32)
    ),
    "attention is 'somebodys', which ours would pass over": set_in_config(
        _attn_implementation_internal="somebodys"
    ),
    r"layers.0.self_attn.q_proj.weight is on cpu, layers.1.linear2.weight on meta": lambda model: layers(model)[
        1
    ].linear2.to("meta"),
    "layers.1.self_attn has hooks": lambda model: layers(model)[1].self_attn.register_forward_hook(print),
    "layers.0 has another forward": lambda model: setattr(layers(model)[0], "forward", print),
    "memory_attention has another forward": lambda model: model.memory_attention.compile(backend="eager"),
    "is compiled: accelerate first": lambda model: setattr(
        model, "memory_attention", torch.compile(model.memory_attention, backend="eager")
    ),
}

# Early transformers 5 keep a table of rotations, and neither of these buffers.
if hasattr(holder().memory_attention, "position_ids"):
    BAD |= {
        "inv_freq is not of rope_theta 500.0 and 8 channels": set_in_config(
            memory_attention_num_attention_heads=4
        ),
        "inv_freq is not of rope_theta 90.0": set_in_config(rope_parameters={"rope_theta": 90.0}),
        "position_ids is not the grid": set_in_config(memory_attention_rope_feat_sizes=[9, 4]),
    }


@pytest.mark.parametrize("message", BAD)
def test_what_does_not_fit_is_refused_and_stays(message):
    model = holder()
    BAD[message](model)
    check_refused_as_it_was(model, message)


def test_calls_out_of_turn():
    model = holder()
    with pytest.raises(ValueError, match="Holder is not accelerated: nothing to restore"):
        ma.restore(model)
    ma.accelerate(model)
    twin = model.memory_attention
    with pytest.raises(ValueError, match="is ours already"):
        ma.accelerate(model)
    assert model.memory_attention is twin
    ma.restore(model)
    with pytest.raises(ValueError, match="not accelerated"):
        ma.restore(model)
