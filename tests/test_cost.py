"""What `info` counts is what PyTorch counts."""

import memory_attention as ma
import pytest
import torch
from memory_attention.accelerated import MemoryAttention
from memory_attention.cost import step_costs
from memory_attention.inputs import draw_inputs
from torch.utils.flop_counter import FlopCounterMode


@pytest.mark.parametrize("name", ["tiny", "sam2.1_hiera_t"])
@pytest.mark.parametrize("objects", [1, 3])
def test_flops_and_parameters_are_pytorchs(name, objects):
    config = ma.load_config(name)
    inputs = draw_inputs(config, memories=2, grid=(4, 4), objects=objects)
    module = MemoryAttention.from_config(config.memory_attention).eval()
    # The counter does not know the CPU's flash kernel, which does the same products.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        module(*(torch.from_numpy(array) for array in inputs[:4]), inputs.num_obj_ptr_tokens)
    costs = step_costs(config, 16, len(inputs.memory), objects)
    assert sum(cost.flops for cost in costs) == counter.get_total_flops()
    assert sum(cost.parameters for cost in costs) == sum(p.numel() for p in module.parameters())


def test_steps_and_shapes_are_those_of_the_trace():
    config = ma.load_config("tiny")
    inputs = draw_inputs(config, memories=2, objects=2)
    steps = ma.load(config).trace(*inputs)
    costs = step_costs(config, len(inputs.curr), len(inputs.memory), objects=2)
    assert [cost.step for cost in costs] == list(steps)
    for cost in costs:
        assert torch.Size(cost.shape).numel() == steps[cost.step].size, cost.step


def test_the_full_size_of_the_design():
    """Section 8: q kᵀ is 60 GFLOP, the weighted sum another 60; self-attention 17, feed-forward 9."""
    costs = {cost.step: cost.flops / 1e9 for cost in step_costs(ma.load_config("sam2.1_hiera_t"), 4096, 28736)}
    assert round(costs["layers.0.cross_attn_image.attended"]) == 121
    assert round(costs["layers.0.self_attn.attended"]) == 17
    assert round(costs["layers.0.linear1"] + costs["layers.0.linear2"]) == 9


def test_bytes_of_one_step_by_hand():
    # Norm of 2 objects × 16 tokens × 16 channels: read, written, and 32 parameters, 4 bytes each.
    costs = {cost.step: cost for cost in step_costs(ma.load_config("tiny"), 16, 38, objects=2, itemsize=4)}
    assert costs["layers.0.norm1"].bytes == 4 * (2 * 2 * 16 * 16 + 32)
