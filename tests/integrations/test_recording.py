"""Recordings of other people's running models: their own softmax rows, and a model that is as it was."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import memory_attention as ma
from attention_truth import left_behind, weights_of
from hosts import frame_inputs, randomise, sam2_model, sam3_model, track
from memory_attention.accelerated import MemoryAttention
from memory_attention.tolerances import bound
from sam2_stand_ins import Attention, PlainPredictor, Predictor, RoPEAttention, build

REACH = 20.0
"""More than the largest logit of these models' attentions."""

LIMIT = bound("float32", REACH)
TOKENS = [20, 3, 11]


def predictor(kind=Predictor):
    return randomise(build(predictor=kind), 4)


def check_rows(recording, weights, tokens, limit=LIMIT, layers=2):
    """Every look has the rows of the host, in the order of its calls."""
    assert len(recording.looks) * layers == len(weights) > 0
    for index, truth in enumerate(weights):
        rows = recording.looks[index // layers].rows["cross", index % layers]
        assert rows.dtype == np.float32
        assert rows.shape == (truth.shape[1], len(tokens), truth.shape[3])
        assert np.abs(rows - truth[0][:, tokens]).max() <= limit


@pytest.mark.parametrize("make", [sam2_model, sam3_model])
def test_a_video_session(make):
    """Two objects, prompts on three frames, forwards and backwards; the masks are the same, bit for bit."""
    pytest.importorskip("transformers", reason="the host is an optional dependency")
    model = make()
    truth, before = track(model), left_behind(model)
    with weights_of(model) as weights, ma.record(model, TOKENS) as recording:
        masks = track(model)
    assert left_behind(model) == before
    assert all(torch.equal(mask, true) for mask, true in zip(masks, truth, strict=True))
    check_rows(recording, weights, TOKENS)
    said = [(look.frame, look.object, look.memory_frames, look.pointer_frames) for look in recording.looks]
    # Object 7 was left out of the click on frame 3, so there it is tracked; three memories, two pointers back.
    assert said[:3] == [(3, "7", (0,), (0,)), (1, "4", (0, 3), (0,)), (1, "7", (0,), (0,))]
    assert said[6] == (4, "4", (0, 3, 2), (0, 3, 2))
    assert said[7] == (4, "7", (0, 2, 3), (0, 3, 2))
    # Backwards pointers of frames to come count as past; a correction of frame 2 is no prompt anew.
    assert said[-1] == (1, "7", (0, 3, 2), (2, 3))
    assert [look.backwards for look in recording.looks] == 10 * [False] + 7 * [True]
    assert recording.looks[6].prompted == (0, 3)
    for name in ("4", "7"):
        shares = recording.by_memory(name)
        assert "unknown" not in (*shares.memory_frames, *shares.pointer_frames)
        sums = np.nansum(shares.memories, axis=1) + np.nansum(shares.pointers, axis=1)
        np.testing.assert_allclose(sums, 1, rtol=1e-6)

    ma.accelerate(model)
    with ma.record(model, TOKENS) as swapped:
        track(model)
    assert swapped.made_by["fingerprint"] == recording.made_by["fingerprint"]
    for mine, theirs in zip(swapped.looks, recording.looks, strict=True):
        assert (mine.frame, mine.object, mine.memory_frames) == (theirs.frame, theirs.object, theirs.memory_frames)
        for place, rows in mine.rows.items():
            # The host keeps memories in bfloat16, where rounding makes much of a last place.
            assert np.abs(rows - theirs.rows[place]).max() <= bound("float16", REACH)


def test_the_object_found():
    """The tokens under the mask of the frame before, in the direction of tracking."""
    pytest.importorskip("transformers", reason="the host is an optional dependency")
    model = sam2_model()
    with ma.record(model, "found", most_queries=999, layers=1, frames=[3]) as recording:
        masks = track(model)
    assert recording.frames == (3,)
    # Of object 7: the click on frame 3, forwards, and backwards, when it came from frame 4.
    looks = [look for look in recording.looks if look.object == "7"]
    assert [look.backwards for look in looks] == [False, False, True]
    # `track` gives two clicks, then frames 0, 1, 2, …, another click, and frames 4, 3, … backwards.
    for look, before in zip(looks, (masks[0], masks[2 + 2], masks[2 + 5 + 1]), strict=True):
        mask = before[1, 0].numpy() > 0
        height = mask.shape[0] // 6
        cover = mask.reshape(6, height, 6, height).mean(axis=(1, 3))
        np.testing.assert_array_equal(look.queries, np.flatnonzero(cover >= min(0.5, cover.max())))
        assert look.layers == (1,)


@pytest.mark.parametrize("kind", [Predictor, PlainPredictor])
@pytest.mark.parametrize(("objects", "tokens"), [(1, 28), (2, 25)])
def test_models_with_sam2s_names(kind, objects, tokens):
    model = predictor(kind)
    inputs = frame_inputs(tokens, objects=objects)
    fast = ma.accelerate(copy.deepcopy(model))
    before = left_behind(fast)
    with ma.record(model, TOKENS) as recording, weights_of(model) as weights, torch.no_grad():
        truth = model(*inputs)
    grid = (4, 7) if tokens == 28 else (5, 5)
    assert {look.grid for look in recording.looks} == {grid}
    for layer in range(2):
        found = recording.pattern[layer, 0]
        assert np.abs(found - weights[layer][:, :, TOKENS]).max() <= LIMIT
    look = recording.looks[0]
    assert (look.memory_frames, look.frame_known, look.num_obj_ptr_tokens) == (None, False, 3)
    with torch.no_grad():
        plain = fast(*inputs)
        with ma.record(fast, TOKENS) as swapped:
            assert torch.equal(fast(*inputs), plain)
    assert left_behind(fast) == before
    for layer in range(2):
        assert np.abs(swapped.pattern[layer, 0] - recording.pattern[layer, 0]).max() <= LIMIT
    assert torch.equal(model(*inputs), truth)
    with ma.record(fast.memory_attention, TOKENS) as alone:
        fast(*inputs)
    np.testing.assert_array_equal(alone.pattern[1, 0], swapped.pattern[1, 0])


def test_attention_without_rotation():
    """The grid is then not known: a square, else a line."""
    model = predictor()
    for layer in model.memory_attention.layers:
        for name in ("self_attn", "cross_attn_image"):
            rotary = getattr(layer, name)
            plain = Attention(128, rotary.num_heads, 128 // rotary.internal_dim, 0.3, rotary.kv_in_dim)
            setattr(layer, name, plain)
    randomise(model, 8)
    for tokens, grid in ((28, (1, 28)), (25, (5, 5))):
        with ma.record(model, TOKENS) as recording, weights_of(model) as weights:
            model(*frame_inputs(tokens))
        assert recording.looks[0].grid == grid
        check_rows(recording, weights, TOKENS)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision(half):
    model = predictor().to(half)
    inputs = frame_inputs(28, dtype=half)
    ma.accelerate(model)
    exact = predictor()
    with torch.no_grad(), ma.record(model, TOKENS) as recording, weights_of(exact) as weights:
        model(*inputs)
        exact(*(x.float() if isinstance(x, torch.Tensor) else x for x in inputs))
    check_rows(recording, weights, TOKENS, bound(str(half).removeprefix("torch."), REACH))


def test_gradients_and_training_stay():
    """In training dropout draws the same, and gradients are the same, whoever records."""
    results = []
    for recorded in (False, True):
        model = predictor().train()
        inputs = [x.requires_grad_() if isinstance(x, torch.Tensor) else x for x in frame_inputs(28)]
        torch.manual_seed(3)
        with ma.record(model, TOKENS, layers=0 if recorded else 1):
            output = model(*inputs)
        output.square().mean().backward()
        results.append([output, *(x.grad for x in (*model.parameters(), *inputs[:4]))])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


class RoPEAttentionv2(RoPEAttention):
    """A fork's attention."""


def another_network(model):
    model.memory_attention.layers[1].cross_attn_image = RoPEAttentionv2(128, 4, 2, kv_in_dim=64)


BAD = {
    "layers.1.cross_attn_image is .*RoPEAttentionv2, expected SAM 2's": another_network,
    "memory_attention is compiled": lambda model: setattr(
        model, "memory_attention", torch.compile(model.memory_attention, backend="eager")
    ),
    "is compiled, or has another forward": lambda model: model.memory_attention.layers[0].compile(backend="eager"),
    "model holds 2 memory attentions, expected one": lambda model: model.add_module("other", predictor()),
    "in which no module is called memory_attention": lambda model: delattr(model, "memory_attention"),
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_recorded(message):
    model = predictor()
    BAD[message](model)
    before = left_behind(model)
    with pytest.raises(ValueError, match=message), ma.record(model, 3):
        pytest.fail("it does not begin")
    assert left_behind(model) == before


def test_an_error_on_the_way_leaves_what_there_is():
    """Queries outside the grid of the second call: the recording of the first one stays, and no hook."""
    model = predictor()
    before = left_behind(model)
    with ma.record(model, [26]) as recording:
        model(*frame_inputs(28))
        with pytest.raises(ValueError, match=r"has token 26, expected 0 to 24 on \(5, 5\)"):
            model(*frame_inputs(25))
    assert left_behind(model) == before
    assert recording.frames == (0,)
    with pytest.raises(ValueError, match="this model does not say what it found"), ma.record(model, "found"):
        model(*frame_inputs(25))
    assert left_behind(model) == before


def test_no_model():
    with pytest.raises(TypeError, match=r"model is dict, expected a torch\.nn\.Module"), ma.record({}, 3):
        pass


def test_one_of_several_can_be_recorded():
    models = nn.ModuleList([predictor(), predictor()])
    with ma.record(models[1], [2]) as recording:
        models[0](*frame_inputs(28))
        models[1](*frame_inputs(28))
    assert recording.frames == (0,)
    assert isinstance(ma.accelerate(models)[0].memory_attention, MemoryAttention)
