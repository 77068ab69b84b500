"""Models with SAM 2's names, and SAM 2 itself where it is installed: the same results with ours."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import memory_attention as ma
from hosts import check_refused_as_it_was, frame_inputs, randomise
from memory_attention.accelerated import MemoryAttention
from memory_attention.tolerances import bound
from sam2_stand_ins import Attention, PlainPredictor, Predictor, RoPEAttention, build

REACH = 20.0
"""More than the largest logit of these models' attentions."""


def predictor(kind=Predictor):
    return randomise(build(predictor=kind), 4)


def wrong(result, truth):
    return float((result - truth).detach().abs().max() / truth.detach().abs().max())


@pytest.mark.parametrize("kind", [Predictor, PlainPredictor])
@pytest.mark.parametrize(("objects", "tokens"), [(1, 28), (3, 28), (2, 25)])
def test_the_same_result(kind, objects, tokens):
    """On the settings' grid, and on a square of another size; and the very same module comes back."""
    model = predictor(kind)
    original, names = model.memory_attention, list(model.state_dict())
    parameters = list(model.parameters())
    inputs = frame_inputs(tokens, objects=objects)
    # A copy computes the truth: SAM 2's attentions keep the table of the last grid.
    truth = copy.deepcopy(model)(*inputs)
    assert ma.accelerate(model) is model
    assert isinstance(model.memory_attention, MemoryAttention)
    assert list(model.state_dict()) == names
    assert all(mine is theirs for mine, theirs in zip(model.parameters(), parameters, strict=True))
    with torch.no_grad():
        result = model(*inputs)
    assert result.shape == truth.shape
    assert wrong(result, truth) <= bound("float32", REACH)
    assert not torch.equal(result, truth)
    assert ma.restore(model).memory_attention is original
    assert torch.equal(model(*inputs), truth)


def test_attention_without_rotation():
    model = predictor()
    for layer in model.memory_attention.layers:
        for name in ("self_attn", "cross_attn_image"):
            rotary = getattr(layer, name)
            plain = Attention(128, rotary.num_heads, 128 // rotary.internal_dim, 0.3, rotary.kv_in_dim)
            setattr(layer, name, plain)
    inputs = frame_inputs(28)
    truth = randomise(model, 8)(*inputs)
    assert wrong(ma.accelerate(model)(*inputs), truth) <= bound("float32", REACH)


def test_norms_with_hooks_or_other_settings_stay():
    model = predictor()
    for layer in model.memory_attention.layers:
        layer.norm1.eps, layer.norm3.eps = 0.5, 0.3
    model.memory_attention.norm = nn.LayerNorm(128, bias=False)
    seen = []
    model.memory_attention.layers[1].norm2.register_forward_hook(lambda *_: seen.append(1))
    inputs = frame_inputs(28)
    truth = model(*inputs)
    assert wrong(ma.accelerate(model)(*inputs), truth) <= bound("float32", REACH)
    assert seen == [1, 1]


def test_training_drops_what_the_host_drops():
    own = predictor().train()
    fast = ma.accelerate(copy.deepcopy(own))
    results = []
    for model in (own, fast):
        torch.manual_seed(11)
        results.append(model(*frame_inputs(28)))
    assert wrong(*reversed(results)) <= bound("float32", REACH)


@pytest.mark.parametrize("autocast", [False, True])
def test_the_same_gradients(autocast):
    """Memories are bfloat16, as SAM 2 keeps them, where autocast brings dtypes together."""
    own = predictor().train()
    for part in own.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(part, Attention):
            part.dropout_p = 0.0
    results = []
    for model in (own, ma.accelerate(copy.deepcopy(own))):
        curr, memory, curr_pos, memory_pos, pointers = frame_inputs(28)
        memory = memory.to(torch.bfloat16) if autocast else memory
        given = [tensor.requires_grad_() for tensor in (curr, memory, curr_pos, memory_pos)]
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            output = model(*given, pointers)
        output.float().square().mean().backward()
        results.append([output, *(x.grad for x in (*model.parameters(), *given))])
    limit = bound("bfloat16" if autocast else "float32", REACH)
    largest = max(float(gradient.abs().max()) for gradient in results[0][1:])
    for index, (true, found) in enumerate(zip(*results, strict=True)):
        assert found.dtype == true.dtype
        magnitude = largest if index else float(true.detach().abs().max())
        assert float((found - true).detach().abs().max()) <= limit * magnitude


def test_hydra_builds_ours():
    """`_target_` names our classes: Hydra's own `instantiate` builds the network, and SAM 2's weights fit it."""
    own, ours = predictor(), build("memory_attention.accelerated").eval()
    assert type(ours.memory_attention) is MemoryAttention
    ours.load_state_dict(own.state_dict())
    inputs = frame_inputs(28, objects=2)
    assert wrong(ours(*inputs), own(*inputs)) <= bound("float32", REACH)


def test_sam2_itself(tmp_path):
    """Its own video predictor, built by its own config with random weights, on a clip of four frames."""
    pytest.importorskip("iopath", reason="SAM 2's own needs are not installed")
    build_sam = pytest.importorskip("sam2.build_sam", reason="SAM 2 is not installed")
    small = ["++model.image_size=128", "++model.num_maskmem=3"]
    config = "configs/sam2.1/sam2.1_hiera_t.yaml"
    model = build_sam.build_sam2_video_predictor(
        config, device="cpu", hydra_overrides_extra=small, apply_postprocessing=False
    )
    model = randomise(model, 4)
    pixels = np.random.default_rng(2).integers(0, 256, (4, 64, 64, 3), np.uint8)
    for index, frame in enumerate(pixels):
        Image.fromarray(frame).save(tmp_path / f"{index}.jpg")

    def track():
        state = model.init_state(str(tmp_path))
        for frame, name, place in ((0, 3, (20.0, 30.0)), (0, 5, (50.0, 9.0)), (2, 3, (25.0, 40.0))):
            model.add_new_points_or_box(state, frame, name, points=[place], labels=[1])
        masks = [masks for _, _, masks in model.propagate_in_video(state)]
        # Without a pointer SAM 2 wants autocast: so it turns where one is known.
        masks += [masks for _, _, masks in model.propagate_in_video(state, start_frame_idx=2, reverse=True)]
        return torch.stack(masks)

    truth, original = track(), model.memory_attention
    masks = ma.accelerate(model) and track()
    # Memories are kept in bfloat16, where rounding makes much of a difference in float32's last place.
    assert wrong(masks, truth) <= bound("float16")
    assert not torch.equal(masks, truth)
    assert ma.restore(model).memory_attention is original


class RoPEAttentionv2(RoPEAttention):
    """A fork's attention."""


def attention(model):
    return model.memory_attention.layers[1].cross_attn_image


BAD = {
    r"layers.1.cross_attn_image is .*\.RoPEAttentionv2, expected SAM 2's": lambda model: setattr(
        model.memory_attention.layers[1], "cross_attn_image", RoPEAttentionv2(128, 2)
    ),
    "memory_attention is torch.nn.modules.linear.Linear, expected SAM 2's MemoryAttention": lambda model: setattr(
        model, "memory_attention", nn.Linear(3, 5)
    ),
    "layers.1.cross_attn_image has pool_size, which SAM 2's RoPEAttention has not": lambda model: setattr(
        attention(model), "pool_size", 2
    ),
    "memory_attention has gate, which SAM 2's MemoryAttention has not": lambda model: setattr(
        model.memory_attention, "gate", nn.Linear(3, 5)
    ),
    "layers.1.cross_attn_image has no freqs_cis": lambda model: delattr(attention(model), "freqs_cis"),
    "compute_cis does not say its theta": lambda model: setattr(attention(model), "compute_cis", print),
    "freqs_cis is not the axial rotation of theta 300.0 for 16 channels": lambda model: attention(
        model
    ).freqs_cis.mul_(1j),
    "num_heads 3, which does not divide 64 channels": lambda model: setattr(attention(model), "num_heads", 3),
    "k_proj maps 60 channels to 64, expected 64 to 64 by": lambda model: setattr(
        attention(model), "k_proj", nn.Linear(60, 64)
    ),
    "linear1 maps 120 channels to 40, expected 128 to 40": lambda model: setattr(
        model.memory_attention.layers[0], "linear1", nn.Linear(120, 40)
    ),
    "linear2 maps 40 channels to 120, expected 40 to 128": lambda model: setattr(
        model.memory_attention.layers[0], "linear2", nn.Linear(40, 120)
    ),
    "q_proj.weight is on cpu, layers.1.norm3.weight on meta": lambda model: model.memory_attention.layers[
        1
    ].norm3.to("meta"),
    "layers.1.cross_attn_image has hooks": lambda model: attention(model).register_forward_pre_hook(print),
    "memory_attention has another forward": lambda model: setattr(model.memory_attention, "forward", print),
}


@pytest.mark.parametrize("message", BAD)
def test_what_does_not_fit_is_refused_and_stays(message):
    model = predictor()
    BAD[message](model)
    check_refused_as_it_was(model, message)


def test_all_or_none():
    """A model may hold several: where one does not fit, none is swapped."""
    models = nn.ModuleList([predictor(), predictor()])
    originals = [model.memory_attention for model in models]
    attention(models[1]).num_heads = 3
    with pytest.raises(ValueError, match="num_heads 3"):
        ma.accelerate(models)
    assert [model.memory_attention for model in models] == originals
    attention(models[1]).num_heads = 4
    ma.accelerate(models)
    assert all(isinstance(model.memory_attention, MemoryAttention) for model in models)
    # Two that hold the same one share ours.
    twice = nn.ModuleList([Predictor(originals[0]), Predictor(originals[0])])
    ma.accelerate(twice)
    assert twice[0].memory_attention is twice[1].memory_attention
    ma.restore(models[0])
    assert [model.memory_attention is own for model, own in zip(models, originals, strict=True)] == [True, False]
    # The rest comes back too, though one is back already.
    ma.restore(models)
    assert [model.memory_attention for model in models] == originals


def test_a_layer_that_was_taken_out_stays_out():
    model = ma.accelerate(predictor())
    del model.memory_attention.layers[-1]
    inputs, names = frame_inputs(28, objects=2), list(model.state_dict())
    with torch.no_grad():
        truth = model(*inputs)
        assert wrong(ma.restore(model)(*inputs), truth) <= bound("float32", REACH)
    assert list(model.state_dict()) == names
