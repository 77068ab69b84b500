"""Models of `transformers` with our memory attention: the same masks, gradients and names as with their own."""

import copy
import io

import pytest
import torch
from torch import nn

import memory_attention as ma
from hosts import (
    both,
    frame_inputs,
    holder,
    sam2_config,
    sam2_model,
    sam3_config,
    sam3_model,
    track,
    wrong,
)
from memory_attention.tolerances import bound

pytest.importorskip("transformers", reason="the host is an optional dependency")

from transformers import Sam2VideoModel
from transformers.models.sam2_video import modeling_sam2_video as sam2
from transformers.models.sam3_tracker_video import modeling_sam3_tracker_video as sam3

REACH = 20.0
"""More than the largest logit of these models' attentions."""

LIMIT = bound("float16")
"""The host keeps memories in bfloat16, where rounding makes much of a difference in float32's last place."""


@pytest.mark.parametrize("make", [sam2_model, sam3_model])
def test_the_same_masks(make):
    """Two objects, prompts in three frames, forwards and backwards; and the original comes back as it was."""
    model = make()
    truth, original = track(model), model.memory_attention
    assert ma.accelerate(model) is model
    masks = track(model)
    for result, true in zip(masks, truth, strict=True):
        for mask, mask_true in zip(result, true, strict=True):
            limit = LIMIT * float(mask_true.abs().max())
            assert float((mask - mask_true).abs().max()) <= limit
            clear = mask_true.abs() > limit
            assert clear.float().mean() > 0.9
            assert torch.equal(mask[clear] > 0, mask_true[clear] > 0)
    # Whoever is left out of a session would have the same masks too.
    assert any(not torch.equal(result, true) for result, true in zip(masks, truth, strict=True))
    assert ma.restore(model).memory_attention is original
    assert all(torch.equal(result, true) for result, true in zip(track(model), truth, strict=True))


@pytest.mark.parametrize("make", [sam2_model, sam3_model])
def test_every_call_of_a_session_has_the_same_result(make):
    model = make()
    calls = []

    def keep(module, args, kwargs, output):
        calls.append((args, kwargs, output))

    handle = model.memory_attention.register_forward_hook(keep, with_kwargs=True)
    track(model)
    handle.remove()
    ma.accelerate(model)
    assert len(calls) > 10
    with torch.inference_mode():
        for args, kwargs, truth in calls:
            result = model.memory_attention(*args, **kwargs)
            assert result.shape == truth.shape
            assert wrong(result, truth) <= bound("float32", REACH)


@pytest.mark.parametrize("objects", [1, 3])
@pytest.mark.parametrize(
    ("host", "make_config"),
    [
        (sam2.Sam2VideoMemoryAttention, sam2_config),
        (sam3.Sam3TrackerVideoMemoryAttention, sam3_config),
    ],
)
def test_the_hosts_shape_on_a_rectangle(host, make_config, objects):
    changes = {"memory_attention_rope_feat_sizes": [7, 4], "memory_attention_feed_forward_hidden_act": "silu"}
    own = holder(host, make_config, **changes)
    inputs = frame_inputs(28, objects=objects)
    truth = own(*inputs)
    with torch.no_grad():
        result = ma.accelerate(own)(*inputs)
    assert result.shape == truth.shape == (1, objects, 28, 128)
    assert wrong(result, truth) <= bound("float32", REACH)


def test_a_frame_of_another_size_is_refused_as_the_host_does():
    own, fast = both(memory_attention_rope_feat_sizes=[7, 4])
    inputs = frame_inputs(36)
    with pytest.raises(RuntimeError, match="size of tensor"):
        own(*inputs)
    with pytest.raises(ValueError, match=r"grid \(4, 7\) has 28 tokens, expected 36"):
        fast(*inputs)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_in_half_precision(half):
    own, fast = (model.to(half) for model in both())
    inputs = frame_inputs(36, dtype=half)
    exact = holder()(*(x.float() if isinstance(x, torch.Tensor) else x for x in inputs))
    with torch.no_grad():
        result, theirs = fast(*inputs), own(*inputs)
    assert result.dtype == theirs.dtype == half
    assert wrong(result.float(), exact) <= bound(str(half).removeprefix("torch."), REACH)


def test_weights_are_shared_under_the_hosts_names(tmp_path):
    model = sam2_model()
    before = dict(model.named_parameters())
    state = {name: value.data_ptr() for name, value in model.state_dict().items()}
    original = model.memory_attention
    ma.accelerate(model)
    assert list(before) == [name for name, _ in model.named_parameters()]
    assert all(parameter is before[name] for name, parameter in model.named_parameters())
    assert {name: value.data_ptr() for name, value in model.state_dict().items()} == state

    model.save_pretrained(tmp_path)
    again = Sam2VideoModel.from_pretrained(tmp_path)
    assert type(again.memory_attention) is sam2.Sam2VideoMemoryAttention
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())

    # Tensors that take the place of others, and moves that make new buffers, reach both.
    model.load_state_dict({name: value + 1 for name, value in again.state_dict().items()}, assign=True)
    model.double()
    for name, buffer in list(model.memory_attention.named_buffers(recurse=False)):
        setattr(model.memory_attention, name, buffer.clone())
    for mine, theirs in zip(model.memory_attention.buffers(), original.buffers(), strict=True):
        assert mine is theirs
    for mine, theirs in zip(model.memory_attention.parameters(), original.parameters(), strict=True):
        assert mine is theirs
        assert mine.dtype == torch.float64


def test_what_was_done_meanwhile_stays(tmp_path):
    """Mode, hooks and exchanged leaves are those of the original when it is back."""
    model = holder()
    original = model.memory_attention
    ma.accelerate(model).train()
    leaf = nn.Linear(128, 40)
    model.memory_attention.layers[1].linear1 = leaf
    seen = []
    model.memory_attention.register_forward_hook(lambda *_: seen.append(1))
    ma.restore(model)
    assert model.memory_attention is original
    assert all(part.training for part in original.modules())
    assert original.layers[1].linear1 is leaf
    model(*frame_inputs(36))
    assert seen == [1]


def test_copies_and_pickles():
    own, fast = both()
    inputs = frame_inputs(36)
    truth = own(*inputs)
    buffer = io.BytesIO()
    torch.save(fast, buffer)
    buffer.seek(0)
    for twin in (copy.deepcopy(fast), torch.load(buffer, weights_only=False)):
        assert wrong(twin(*inputs), truth) <= bound("float32", REACH)
        with torch.no_grad():
            for parameter in fast.parameters():
                parameter.zero_()
        assert wrong(twin(*inputs), truth) <= bound("float32", REACH)
        assert torch.equal(ma.restore(twin)(*inputs), truth)


def test_compiled():
    """In one graph, with gradients and without; and a model that was compiled before follows the swap."""
    own = holder(memory_attention_num_layers=1)
    inputs = frame_inputs(36)
    truth = own(*inputs)
    compiled = torch.compile(own, backend="eager", fullgraph=True)
    assert torch.equal(compiled(*inputs), truth)
    ma.accelerate(compiled)
    assert wrong(compiled(*inputs), truth) <= bound("float32", REACH)
    assert not torch.equal(compiled(*inputs), truth)
    with torch.no_grad():
        assert wrong(compiled(*inputs), truth) <= bound("float32", REACH)
    ma.restore(compiled)
    assert torch.equal(compiled(*inputs), truth)
