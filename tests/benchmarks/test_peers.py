"""The networks of others have our weights and our grid; what they cannot express is named."""

import numpy as np
import pytest
import torch

import memory_attention as ma
from cases import random_weights
from checks import error
from memory_attention.benchmarks.peers import build_peer, call_of_peer
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound


@pytest.mark.parametrize("grid", [(2, 3), (5, 3)])
def test_the_peer_has_our_weights_and_our_grid(grid):
    """No norm's weight is 1 and no bias 0, the grid is no square, and the pointers are not the usual number."""
    pytest.importorskip("transformers")
    config = ma.load_config("sam2.1_hiera_t")
    rng = np.random.default_rng(1)
    weights = random_weights(config, rng)
    inputs = draw_inputs(config, seed=2, memories=2, pointers=3, grid=grid)
    truth = ma.load(config, weights=weights, dtype="float64")(*(np.float64(a) for a in inputs[:4]), *inputs[4:])
    call = call_of_peer(build_peer(config, weights, grid).double())
    with torch.inference_mode():
        result = call(*(torch.from_numpy(np.float64(array)) for array in inputs[:4]), *inputs[4:]).numpy()
    assert error(result, truth) <= bound("float32", 20)


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"activation": "glu"}, "activation"),
        ({"pos_enc_at_attn": True}, "pos_enc_at_attn"),
        ({"pos_enc_at_cross_attn_keys": False}, "pos_enc_at_cross_attn_keys"),
        ({"pos_enc_at_cross_attn_queries": True}, "pos_enc_at_cross_attn_queries"),
    ],
)
def test_a_layer_that_the_peer_cannot_express_is_named(change, setting):
    pytest.importorskip("transformers")
    refuses(lambda layer: layer.model_copy(update=change), setting)


@pytest.mark.parametrize(
    ("change", "setting"),
    [({"rope_theta": 100.0}, "rope_theta"), ({"rotary": False}, "rotary"), ({"num_heads": 2}, "num_heads")],
)
@pytest.mark.parametrize("part", ["self_attention", "cross_attention"])
def test_an_attention_that_the_peer_cannot_express_is_named(part, change, setting):
    pytest.importorskip("transformers")
    refuses(lambda layer: layer.model_copy(update={part: getattr(layer, part).model_copy(update=change)}), setting)


def refuses(changed, setting):
    config = ma.load_config("sam2.1_hiera_t")
    network = config.memory_attention
    network = network.model_copy(update={"layer": changed(network.layer)})
    with pytest.raises(ValueError, match=f"knows no other {setting}"):
        build_peer(config.model_copy(update={"memory_attention": network}), {}, (4, 4))
