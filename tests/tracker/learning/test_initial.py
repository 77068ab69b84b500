"""The weights before training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_attention.configs import load_config
from memory_attention.configs.schema import AttentionConfig
from memory_attention.reference.position import rotary_angles, rotate
from memory_attention.tracker import Tracker, initial_weights
from memory_attention.tracker.evaluation import evaluate, held_out_clip
from memory_attention.tracker.learning.initial import (
    LOUDNESS,
    OBJECT,
    POINTER_SIGNS,
    check_trainable,
    hardly_turned,
)
from memory_attention.tracker.weights import tracker_shapes

CONFIG = load_config("tracker")


def test_initial_weights_are_all_there_and_drawn_by_the_seed():
    weights = initial_weights(CONFIG, seed=0)
    assert {name: array.shape for name, array in weights.items()} == tracker_shapes(CONFIG)
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    again = initial_weights(CONFIG, seed=0)
    assert all(np.array_equal(weights[name], again[name]) for name in weights)


def with_width(width, memory):
    """The config with tokens `width` wide and memories `memory` wide."""
    layer = CONFIG.memory_attention.layer
    attentions = {
        "self_attention": layer.self_attention.model_copy(update={"embedding_dim": width}),
        "cross_attention": layer.cross_attention.model_copy(update={"embedding_dim": width, "kv_in_dim": memory}),
    }
    layer = layer.model_copy(update={"d_model": width, **attentions})
    network = CONFIG.memory_attention.model_copy(update={"d_model": width, "layer": layer})
    return CONFIG.model_copy(update={"memory_attention": network})


def with_bank(**changes):
    return CONFIG.model_copy(update={"memory_bank": CONFIG.memory_bank.model_copy(update=changes)})


def with_network(**changes):
    return CONFIG.model_copy(update={"memory_attention": CONFIG.memory_attention.model_copy(update=changes)})


def with_cross_attention(**changes):
    cross = CONFIG.memory_attention.layer.cross_attention.model_copy(update=changes)
    return with_network(layer=CONFIG.memory_attention.layer.model_copy(update={"cross_attention": cross}))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        *((with_width(60, width), rf"kv_in_dim is {width}, .* from 8 to 60") for width in (4, 5, 6, 10, 15, 30)),
        (with_bank(num_maskmem=0), "num_maskmem is 0, expected 1 or more"),
        (with_bank(directly_add_no_mem_embed=False), "directly_add_no_mem_embed is False, expected True"),
        (with_bank(use_memory_selection=True), "use_memory_selection is True, expected False"),
        (with_network(batch_first=False), "batch_first is False, expected True"),
        (with_cross_attention(rope_k_repeat=False), "rope_k_repeat is False, expected True"),
        (with_cross_attention(downsample_rate=4), "kv_in_dim is 32, .* from 8 to 16"),
        (CONFIG.model_copy(update={"image_size": 256}), "image_size is 256, expected 128"),
        (CONFIG.model_copy(update={"backbone_stride": 1}), "backbone_stride is 1, expected a multiple of 2"),
    ],
)
def test_what_cannot_be_trained_is_named(config, words):
    with pytest.raises(ValueError, match=f"cannot be trained: {words}"):
        check_trainable(config)


@pytest.mark.parametrize(
    "config",
    [
        *(with_width(60, width) for width in (12, 20, 60)),
        with_width(64, 8),
        with_bank(num_maskmem=1),
        with_cross_attention(rope_k_repeat=False, rotary=False),
    ],
)
def test_what_can_be_trained_has_weights_to_begin_with(config):
    weights = initial_weights(config, seed=0)
    assert {name: array.shape for name, array in weights.items()} == tracker_shapes(config)


def test_a_pointer_is_looked_at_before_training():
    """The last of several layers looks at nothing else; where there is but one, it looks at memories too."""
    reports = {}
    for layers in (1, 2):
        config = with_network(num_layers=layers)
        reports[layers] = evaluate(config, initial_weights(config, seed=3), "reference", clips=2, frames=4)
        assert reports[layers].attention_share[0] > 2
    assert reports[2].pointer_share[-1] > 0.9999
    assert 0.02 < reports[1].pointer_share[-1] < 0.5


def test_no_memory_is_marked_as_pointers_are():
    """The channel that the last layer looks for is empty in a memory, wherever its object is."""
    tracker = Tracker(CONFIG, initial_weights(CONFIG, seed=4), "reference")
    clip = held_out_clip(0, frames=3)
    *_, step = tracker.follow(clip.frames, clip.masks[0, :1])
    marks = (step.seen.memory[:, 0, -len(POINTER_SIGNS) :] * POINTER_SIGNS).mean(axis=-1)
    pointers = step.seen.num_obj_ptr_tokens
    # A pointer is two tokens here, of which the first is marked.
    np.testing.assert_allclose(marks[-pointers::2], LOUDNESS * OBJECT, rtol=0.5)
    assert np.abs(marks[:-pointers]).max() < 0.25 * LOUDNESS * OBJECT


@given(
    heads=st.sampled_from([1, 2, 4]),
    quarter=st.integers(1, 5),
    theta=st.sampled_from([100.0, 10000.0]),
    data=st.data(),
)
def test_the_channels_that_are_hardly_turned_keep_what_they_hold(heads, quarter, theta, data):
    width = 4 * quarter * heads
    attention = AttentionConfig(embedding_dim=width, num_heads=heads, rope_theta=theta)
    least = data.draw(st.integers(1, width))
    still = hardly_turned(attention, least)
    assert still.sum() >= least
    ones = np.ones((heads, 4, 4 * quarter))
    # The last of 2 × 2 tokens is both beside and below the first, which is not turned.
    turned = rotate(ones, rotary_angles(2, 2, 4 * quarter, theta))[:, -1]
    moved = np.linalg.norm((turned - 1).reshape(-1, 2), axis=1)
    pairs = still.reshape(-1, 2)
    assert (pairs[:, 0] == pairs[:, 1]).all()
    assert moved[pairs[:, 0]].max() <= moved[~pairs[:, 0]].min(initial=np.inf)
    assert moved[~pairs[:, 0]].min(initial=np.inf) > np.sqrt(2) * 0.1
    assert hardly_turned(attention.model_copy(update={"rotary": False}), least).all()
