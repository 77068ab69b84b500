"""What `info` counts is what PyTorch counts."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import memory_attention as ma
from memory_attention.accelerated import MemoryAttention, MemoryBank
from memory_attention.cost import bank_bytes, needed_flops, step_costs
from memory_attention.inputs import draw_inputs
from memory_attention.rules.memory_space import Tokens, queries_flops, queries_logits_flops


@pytest.mark.parametrize("name", ["tiny", "sam2.1_hiera_t"])
@pytest.mark.parametrize("objects", [1, 3])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("fast", [False, True])
def test_flops_and_parameters_are_pytorchs(name, objects, shared, fast):
    config = ma.load_config(name)
    inputs = draw_inputs(config, memories=2, grid=(4, 4), objects=objects)
    curr, memory, curr_pos, memory_pos = (torch.from_numpy(array) for array in inputs[:4])
    if shared:
        curr, curr_pos = curr[:, :1], curr_pos[:, :1]
    pointers = inputs.num_obj_ptr_tokens
    costs = step_costs(config, 16, len(inputs.memory), objects, fast=fast, shared=shared, pointers=pointers)
    # The counter does not know the fused kernels, which do the same products.
    module = MemoryAttention.from_config(config.memory_attention).eval()
    axial = not any(cost.step == "layers.0.cross_attn_image.k" for cost in costs)
    module.use_kernel("axial" if axial else "textbook", memory_space=None if fast else False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(curr, memory, curr_pos, memory_pos, pointers)
    more = uncounted(config, 16, len(inputs.memory), objects, shared) if axial else 0
    assert axial == (fast and name == "sam2.1_hiera_t")
    assert sum(cost.flops for cost in costs) + more == counter.get_total_flops()
    assert sum(cost.parameters for cost in costs) == sum(p.numel() for p in module.parameters())


def uncounted(config, queries, keys, objects, shared):
    """What our kernels do besides: each sums its weights, and one looks for the longest key of one head."""
    network = config.memory_attention
    width = network.memory_dim + 1
    of_self = 2 * queries * queries * (network.num_layers * objects - (objects - 1 if shared else 0))
    longest = 2 * width * width * (network.d_model + keys)
    return of_self + network.num_layers * objects * (2 * queries * keys + longest)


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


def test_the_promise_of_memory_space():
    """Section 8: with one head of 256 over 64 channels the weighted sum shrinks four-fold, from 60 to 15 GFLOP."""
    config = ma.load_config("sam2.1_hiera_t")
    # One memory: queries in memory space would be more work, and the logits are 9 GFLOP as ever.
    fast = {cost.step: cost.flops / 1e9 for cost in step_costs(config, 4096, 4160, fast=True)}
    assert "layers.0.cross_attn_image.v" not in fast
    assert "layers.0.cross_attn_image.k" in fast
    assert round(fast["layers.0.cross_attn_image.attended"]) == 9 + 2


def test_the_promise_of_queries_in_memory_space():
    """Section 8: 30 GFLOP for the logits instead of 60, 8.6 for u and v, and about 335 for the whole frame."""
    config = ma.load_config("sam2.1_hiera_t")
    fast = {cost.step: cost.flops / 1e9 for cost in step_costs(config, 4096, 28736, fast=True)}
    assert not fast.keys() & {f"layers.0.cross_attn_image.{step}" for step in ("k", "v", "k_rotated")}
    tokens = Tokens(4096, 28672, 64, (64, 64))
    brought, logits = queries_flops(tokens, 256, 64) / 1e9, queries_logits_flops(tokens, 64) / 1e9
    assert (round(brought, 1), round(logits, 1)) == (8.9, 30.6)
    assert round(fast["layers.0.cross_attn_image.attended"]) == 55
    assert round(needed_flops(config, 4096, 28736) / 1e9, 1) == round(sum(fast.values()), 1) == 334.5


@pytest.mark.parametrize("name", ["tiny", "sam2.1_hiera_t"])
@pytest.mark.parametrize(("prompts", "limit"), [([0], -1), ([0, 3, 21], -1), (range(6), 2)])
def test_a_stream_fills_the_bank_to_its_bound_and_no_further(name, prompts, limit):
    config = ma.load_config(name)
    bank_config = config.memory_bank.model_copy(update={"max_cond_frames_in_attn": limit})
    config = config.with_changes(memory_bank=bank_config)
    (height, width), network = config.grid, config.memory_attention
    bank = MemoryBank(config, ma.load(config).weights)
    memory, pointer = torch.zeros(2, network.memory_dim, height, width), torch.zeros(2, network.d_model)
    held = []
    for frame in range(60):
        bank.forget(frame)
        bank.add(frame, memory, pointer, conditioning=frame in prompts)
        stored = [*bank.memories.values(), *bank.pointers.values()]
        held.append(sum(tensor.nbytes for tensor in stored))
    assert max(held) == bank_bytes(config, objects=2, itemsize=4, prompted=len(prompts))


def test_bytes_of_one_step_by_hand():
    # Norm of 2 objects × 16 tokens × 16 channels: read, written, and 32 parameters, 4 bytes each.
    costs = {cost.step: cost for cost in step_costs(ma.load_config("tiny"), 16, 38, objects=2, itemsize=4)}
    assert costs["layers.0.norm1"].bytes == 4 * (2 * 2 * 16 * 16 + 32)


# What a step reads besides its parameters, by the names of other steps; `x` is what the layer was given.
READS = {
    "norm1": ["x"],
    "self_attn.q": ["norm1"],
    "self_attn.k": ["norm1"],
    "self_attn.v": ["norm1"],
    "self_attn.q_rotated": ["self_attn.q"],
    "self_attn.k_rotated": ["self_attn.k"],
    "self_attn.attended": ["self_attn.q", "self_attn.k", "self_attn.v"],
    "self_attn.out": ["self_attn.attended"],
    "self_attention": ["x", "self_attn.out"],
    "norm2": ["self_attention"],
    "cross_attn_image.q": ["norm2"],
    "cross_attn_image.k": ["memory"],
    "cross_attn_image.v": ["memory"],
    "cross_attn_image.q_rotated": ["cross_attn_image.q"],
    "cross_attn_image.k_rotated": ["cross_attn_image.k"],
    "cross_attn_image.attended": ["cross_attn_image.q", "cross_attn_image.k", "cross_attn_image.v"],
    "cross_attn_image.out": ["cross_attn_image.attended"],
    "cross_attention": ["self_attention", "cross_attn_image.out"],
    "norm3": ["cross_attention"],
    "linear1": ["norm3"],
    "activation": ["linear1"],
    "linear2": ["activation"],
    "feed_forward": ["cross_attention", "linear2"],
}


@pytest.mark.parametrize("name", ["tiny", "sam2.1_hiera_t"])
def test_bytes_are_what_a_step_reads_and_writes(name):
    config = ma.load_config(name)
    inputs = draw_inputs(config, memories=2, pointers=3, objects=2, grid=(2, 3))
    model = ma.load(config)
    steps = model.trace(*inputs)
    costs = {cost.step: cost for cost in step_costs(config, 6, len(inputs.memory), objects=2, itemsize=2)}
    assert costs["input"].bytes == 2 * 3 * inputs.curr.size
    before = steps["input"].size
    for index in range(config.memory_attention.num_layers):
        here = f"layers.{index}."
        sizes = {step: steps[here + step].size for step in READS} | {"x": before, "memory": inputs.memory.size}
        for step, read in READS.items():
            cost = costs[here + step]
            moved = sum(sizes[each] for each in read) + cost.parameters + sizes[step]
            assert cost.bytes == 2 * moved, cost.step
        before = sizes["feed_forward"]
    # In memory space the values are the memories, and so are the keys; projections' parameters are read there.
    attention, tokens = config.memory_attention.layer.cross_attention, len(inputs.memory)
    width, memory_dim = attention.internal_dim, attention.key_dim
    ways = set()
    for grid, memories in (((2, 3), tokens), ((1, 60), 1)):
        queries = grid[0] * grid[1]
        fast = step_costs(config, queries, queries * memories, objects=2, itemsize=2, fast=True, grid=grid)
        costs = {cost.step.removeprefix("layers.0.cross_attn_image."): cost for cost in fast}
        left_out, cost = {"k", "v"} - costs.keys(), costs["attended"]
        ways.add("".join(sorted(left_out)))
        if left_out:
            assert cost.parameters == len(left_out) * (width * memory_dim + width)
            key_width = memory_dim if "k" in left_out else width
            read_and_written = 2 * (2 * queries * width + queries * memories * (key_width + memory_dim))
            assert cost.bytes == 2 * (read_and_written + cost.parameters)
    assert ways == ({"kv", "v"} if name == "sam2.1_hiera_t" else {"", "v"})
