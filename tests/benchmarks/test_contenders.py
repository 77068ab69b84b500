"""Contenders compute the same from the same."""

import numpy as np
import pytest
import torch

import memory_attention as ma
from cases import random_weights
from checks import error
from memory_attention.benchmarks import contenders
from memory_attention.benchmarks.cases import Case, Setting
from memory_attention.benchmarks.contenders import available, build_contender, one_frame
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound

SETTING = Setting("tiny", "cpu", "float32", seed=0, turns=3)


def test_contenders_compute_the_same():
    config = ma.load_config("sam2.1_hiera_t")
    weights = ma.load(config).weights
    inputs = draw_inputs(config, memories=2, objects=2, grid=(4, 4))
    shared = inputs._replace(
        curr=np.repeat(inputs.curr[:, :1], 2, 1), curr_pos=np.repeat(inputs.curr_pos[:, :1], 2, 1)
    )
    truth = ma.load(config, weights=weights, dtype="float64")(
        *(array.astype(float) if isinstance(array, np.ndarray) else array for array in shared)
    )
    for name in available("cpu", compiled=False):
        contender = build_contender(name, config, weights, Case(2, 2, 4), SETTING)
        with torch.inference_mode():
            out = contender.to_numpy(one_frame(contender, inputs)())
        assert np.abs(out - truth).max() <= bound("float32", 20) * np.abs(truth).max(), name


def test_only_the_fast_path_and_the_reference_are_given_one_frame_for_all():
    config = ma.load_config("sam2.1_hiera_t")
    weights, inputs = ma.load(config).weights, draw_inputs(config, memories=1, objects=2, grid=(4, 4))
    for name in available("cpu", compiled=True):
        contender, given = build_contender(name, config, weights, Case(2, 2, 4), SETTING), []
        contender.attention = lambda given=given, **arguments: given.append(arguments["curr"].shape[1])
        one_frame(contender, inputs)()
        assert given == [1 if name in ("fast", "reference", "fast compiled") else 2], name


@pytest.mark.parametrize("grid", [(2, 3), (5, 3)])
def test_the_peer_has_our_weights_and_our_grid(grid):
    """No norm's weight is 1 and no bias 0, the grid is no square, and the pointers are not the usual number."""
    pytest.importorskip("transformers")
    config = ma.load_config("sam2.1_hiera_t")
    rng = np.random.default_rng(1)
    weights = random_weights(config, rng)
    inputs = draw_inputs(config, seed=2, memories=2, pointers=3, grid=grid)
    truth = ma.load(config, weights=weights, dtype="float64")(*(np.float64(a) for a in inputs[:4]), *inputs[4:])
    call = contenders._call_of_peer(contenders.build_peer(config, weights, grid).double())
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
        contenders.build_peer(config.model_copy(update={"memory_attention": network}), {}, (4, 4))


@pytest.mark.parametrize(
    ("name", "kernel", "space"), [("plain", "pytorch", False), ("textbook", "textbook", False)]
)
def test_what_the_slow_contenders_are(name, kernel, space):
    config = ma.load_config("tiny")
    contender = build_contender(name, config, ma.draw_weights(config), Case(2, 1, 4), SETTING)
    parts = [part for part in contender.attention.modules() if hasattr(part, "memory_space")]
    assert {(part.kernel, part.memory_space) for part in parts} == {(kernel, False)}
