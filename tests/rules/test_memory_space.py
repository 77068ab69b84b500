"""Values, and queries, are in memory space where PyTorch counts fewer operations so."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from memory_attention.accelerated.attention import attend_in_memory_space
from memory_attention.accelerated.kernels import scaled_dot_product_attention
from memory_attention.rules.memory_space import (
    Tokens,
    memory_space_saves,
    queries_flops,
    queries_gain,
    queries_logits_flops,
)


@given(*[st.integers(1, 40)] * 4)
def test_memory_space_is_chosen_by_what_pytorch_counts(queries, keys, head_dim, memory_dim):
    query, key = torch.randn(1, 1, queries, head_dim), torch.randn(1, 1, keys, head_dim)
    memory, project = torch.randn(1, keys, memory_dim), torch.nn.Linear(memory_dim, head_dim)
    with torch.no_grad(), FlopCounterMode(display=False) as plain:
        scaled_dot_product_attention(query, key, project(memory)[:, None], kernel="textbook")
    with torch.no_grad(), FlopCounterMode(display=False) as in_memory_space:
        attend_in_memory_space(query, key, memory, project.weight, project.bias, kernel="textbook")
    saves = in_memory_space.get_total_flops() < plain.get_total_flops()
    assert memory_space_saves(queries, keys, head_dim, memory_dim) == saves


@given(*[st.integers(1, 40)] * 7)
def test_the_gain_of_queries_is_over_what_pytorch_counts_of_projected_keys(
    queries, placed, placeless, head_dim, memory_dim, height, width
):
    """What the queries take in memory space is counted where their kernel is tested."""
    memory, project = torch.randn(placed + placeless, memory_dim), torch.nn.Linear(memory_dim, head_dim)
    with torch.no_grad(), FlopCounterMode(display=False) as projected:
        torch.randn(queries, head_dim) @ project(memory).T
    tokens = Tokens(queries, placed, placeless, (height, width))
    in_memory_space = queries_flops(tokens, head_dim, memory_dim) + queries_logits_flops(tokens, memory_dim)
    assert queries_gain(tokens, head_dim, memory_dim) == projected.get_total_flops() / in_memory_space
