"""The floor counts what PyTorch counts, and the tokens that the bank gives."""

from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

import memory_attention as ma
from memory_attention.accelerated import MemoryAttention, MemoryBank
from memory_attention.benchmarks.cases import Case, Setting
from memory_attention.benchmarks.floor import attention_alone, needed, needed_by_attention
from memory_attention.cost import needed_flops
from memory_attention.inputs import draw_inputs

SETTING = Setting("tiny", "cpu", "float32", seed=0, turns=3)


def test_the_floor_of_a_video_counts_the_tokens_that_the_bank_gives():
    config = ma.load_config("tiny")
    bank = MemoryBank(config, ma.load(config).weights)
    network, (height, width) = config.memory_attention, config.grid
    counted = 0
    for frame in range(30):
        if frame:
            seen = bank.tokens(frame, None)
            counted += needed_flops(config, height * width, len(seen.memory))
        memory, pointer = torch.zeros(1, network.memory_dim, height, width), torch.zeros(1, network.d_model)
        bank.add(frame, memory, pointer, conditioning=frame == 0)
        bank.forget(frame + 1)
    assert needed(config, Case(3, 1, height, frames=30)) == counted


def test_forward_and_backward_take_three_times_the_flops_of_forward():
    """Counted by PyTorch: every product has two factors, and each factor a gradient."""
    config = ma.load_config("sam2.1_hiera_t")
    inputs = draw_inputs(config, memories=2, grid=(4, 4))
    network = MemoryAttention.from_config(config.memory_attention).eval().use_kernel("math", memory_space=False)
    given = [torch.from_numpy(array).requires_grad_() for array in inputs[:4]]
    with FlopCounterMode(display=False) as counter:
        result = network(*given, inputs.num_obj_ptr_tokens)
        forward = counter.get_total_flops()
        result.sum().backward()
    assert counter.get_total_flops() == 3 * forward
    once, both = (needed(config, Case(2, 1, 4, gradients=gradients)) for gradients in (False, True))
    assert both == 3 * once


def test_the_attention_alone_has_its_share_of_the_needed_flops():
    """Logits and, in memory space, the weighted sum with its projection, counted by PyTorch."""
    config = ma.load_config("sam2.1_hiera_t")
    for case, kernel in ((Case(1, 1, 12), "math"), (Case(7, 1, 12), "axial")):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            attention_alone(config, case, replace(SETTING, config="sam2.1_hiera_t", kernel=kernel))()
        queries, keys, width = 12 * 12, case.memories * 12 * 12 + 64, 64 + 1
        # The kernel's own sum of the weights, and its look for the longest key.
        more = 2 * queries * keys + 2 * width * width * (256 + keys) if kernel == "axial" else 0
        assert needed_by_attention(config, case) == counter.get_total_flops() - more, kernel
