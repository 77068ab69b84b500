"""Training through the memory attention of `transformers`: the same gradients and dropout with ours."""

import copy

import pytest
import torch

import memory_attention as ma
from hosts import both, frame_inputs, holder, sam2_config, sam3_config, wrong
from memory_attention.tolerances import bound

pytest.importorskip("transformers", reason="the host is an optional dependency")

from transformers.models.sam2_video import modeling_sam2_video as sam2
from transformers.models.sam3_tracker_video import modeling_sam3_tracker_video as sam3

REACH = 20.0
"""More than the largest logit of these models' attentions."""


@pytest.mark.parametrize(
    ("host", "make_config", "training"),
    [
        (sam2.Sam2VideoMemoryAttention, sam2_config, True),
        (sam2.Sam2VideoMemoryAttention, sam2_config, False),
        (sam3.Sam3TrackerVideoMemoryAttention, sam3_config, True),
    ],
)
@pytest.mark.parametrize("autocast", [False, True])
def test_the_same_gradients(host, make_config, training, autocast):
    """Of every parameter and input, without dropout; under autocast memories are bfloat16, as the host's are."""
    changes = {"memory_attention_dropout": 0.0, "memory_attention_rope_dropout": 0.0}
    own = holder(host, make_config, **changes).train(training)
    results = []
    for model in (own, ma.accelerate(copy.deepcopy(own))):
        *tensors, pointers = frame_inputs(36, objects=2)
        if autocast:
            tensors[1] = tensors[1].to(torch.bfloat16)
        for tensor in tensors:
            tensor.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            output = model(*tensors, pointers)
        output.float().square().mean().backward()
        results.append((output, [x.grad for x in (*model.parameters(), *tensors)]))
    (truth, wanted), (result, found) = results
    limit = bound("bfloat16" if autocast else "float32", REACH)
    assert result.dtype == truth.dtype
    assert wrong(result, truth) <= limit
    largest = max(float(gradient.abs().max()) for gradient in wanted)
    for gradient, true in zip(found, wanted, strict=True):
        assert gradient.dtype == true.dtype
        assert float((gradient - true).abs().max()) <= limit * largest
        # A key's bias moves every logit of a query alike: its gradient is rounding alone.
        if not autocast and float(true.abs().max()) > 1e-6 * largest:
            assert wrong(gradient, true) <= limit


def test_frozen_parameters_stay_frozen():
    """Only the cross-attentions' projections of values learn, as in a fine-tuning of a few weights."""
    own, fast = both(memory_attention_dropout=0.0, memory_attention_rope_dropout=0.0)
    gradients = []
    for model in (own, fast):
        model.train().requires_grad_(False)
        for layer in model.memory_attention.layers:
            layer.cross_attn_image.v_proj.requires_grad_()
        model(*frame_inputs(36)).square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    learning = 0
    for true, found in zip(*gradients, strict=True):
        assert (found is None) == (true is None)
        if true is not None:
            learning += 1
            assert wrong(found, true) <= bound("float32", REACH)
    assert learning == 2 * len(own.memory_attention.layers)


def test_training_drops_what_the_host_drops():
    """From the same seed: dropout acts in the same places, in the same order, with the same probabilities."""
    results = []
    for model in both():
        torch.manual_seed(11)
        results.append(model.train()(*frame_inputs(36)))
    truth, result = results
    assert wrong(result, truth) <= bound("float32", REACH)
    torch.manual_seed(12)
    assert wrong(model(*frame_inputs(36)), truth) > 0.01
