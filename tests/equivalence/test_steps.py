"""Each step of the reference against its twin, function by function."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cases import grids, lay_out, layouts, seeds
from checks import error
from memory_attention import accelerated, reference
from memory_attention.accelerated import feed_forward as fast_feed_forward
from memory_attention.accelerated import kernels
from memory_attention.accelerated import norm as fast_norm
from memory_attention.accelerated import position as fast_position
from memory_attention.accelerated.attention import attend_in_memory_space
from memory_attention.reference import attention, feed_forward, norm, position
from memory_attention.tolerances import bound

TIGHT = bound("float64")
ON_CPU = ["pytorch", "math", "tiled", "textbook"]


def tensors(*arrays):
    return [torch.from_numpy(np.array(array, order="C")) for array in arrays]


@given(seed=seeds, tokens=st.integers(1, 9), channels=st.integers(1, 9), layout=layouts)
def test_layer_norm(seed, tokens, channels, layout):
    rng = np.random.default_rng(seed)
    x = lay_out(rng.standard_normal((2, tokens, channels)), layout)
    weight, bias = rng.standard_normal((2, channels))
    result = fast_norm.layer_norm(*tensors(x, weight, bias)).numpy()
    assert error(result, norm.layer_norm(x, weight, bias)) <= TIGHT


@given(grid=grids, quarters=st.integers(1, 6))
def test_sine_encoding_2d(grid, quarters):
    result = fast_position.sine_encoding_2d(*grid, 4 * quarters).numpy()
    assert error(result, position.sine_encoding_2d(*grid, 4 * quarters)) <= TIGHT


@given(seed=seeds, halves=st.integers(1, 8))
def test_sine_encoding_1d(seed, halves):
    places = np.random.default_rng(seed).uniform(-3, 3, 5)
    result = fast_position.sine_encoding_1d(torch.from_numpy(places), 2 * halves).numpy()
    assert error(result, position.sine_encoding_1d(places, 2 * halves)) <= TIGHT


@given(seed=seeds, grid=grids, quarters=st.integers(1, 6), theta=st.sampled_from([100.0, 10000.0]))
def test_rotation(seed, grid, quarters, theta):
    angles = position.rotary_angles(*grid, 4 * quarters, theta)
    fast_angles = fast_position.rotary_angles(*grid, 4 * quarters, theta)
    assert error(fast_angles.numpy(), angles) <= TIGHT
    x = np.random.default_rng(seed).standard_normal((2, 3, grid[0] * grid[1], 4 * quarters))
    table = fast_position.rotary_table(*grid, 4 * quarters, theta, "cpu", torch.float64)
    assert error(fast_position.rotate(torch.from_numpy(x), table).numpy(), position.rotate(x, angles)) <= TIGHT


@pytest.mark.parametrize(
    "form", [attention.scaled_dot_product_attention, attention.tiled_scaled_dot_product_attention]
)
@given(seed=seeds, sizes=st.tuples(*[st.integers(1, 7)] * 5))
def test_scaled_dot_product_attention(form, seed, sizes):
    heads, queries, keys, width, value_width = sizes
    rng = np.random.default_rng(seed)
    shapes = [(2, heads, queries, width), (2, heads, keys, width), (2, heads, keys, value_width)]
    arrays = [rng.standard_normal(shape) for shape in shapes]
    truth = form(*arrays)
    for kernel in ON_CPU:
        twin = kernels.scaled_dot_product_attention(*tensors(*arrays), kernel=kernel)
        assert error(twin.numpy(), truth) <= TIGHT, kernel


@pytest.mark.parametrize("name", ["relu", "gelu", "glu"])
@given(seed=seeds)
def test_activations(name, seed):
    x = np.random.default_rng(seed).standard_normal((3, 8)) * 3
    result = fast_feed_forward.ACTIVATIONS[name](torch.from_numpy(x)).numpy()
    assert error(result, feed_forward.ACTIVATIONS[name](x)) <= TIGHT


def twin_layers(seed, rotary):
    """One layer of the reference and its twin, with the same weights in float64."""
    layers = []
    for package in (reference, accelerated):
        kind = package.RoPEAttention if rotary else package.Attention
        more = {"rope_k_repeat": True} if rotary else {}
        layers.append(
            package.MemoryAttentionLayer(
                activation="gelu",
                cross_attention=kind(embedding_dim=8, num_heads=2, kv_in_dim=4, **more),
                d_model=8,
                dim_feedforward=12,
                dropout=0.1,
                pos_enc_at_attn=True,
                pos_enc_at_cross_attn_keys=True,
                pos_enc_at_cross_attn_queries=True,
                self_attention=kind(embedding_dim=8, num_heads=2),
            )
        )
    slow, fast = layers
    rng = np.random.default_rng(seed)
    weights = {name: rng.standard_normal(p.shape) for name, p in slow.named_parameters()}
    slow.load_parameters(weights)
    fast.double().eval().load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
    return slow, fast


@given(seed=seeds, grid=grids, rotary=st.booleans())
def test_the_residual_blocks(seed, grid, rotary):
    slow, fast = twin_layers(seed, rotary)
    rng = np.random.default_rng(seed)
    tokens = grid[0] * grid[1]
    x, query_pos = rng.standard_normal((2, 2, tokens, 8))
    memory, pos = rng.standard_normal((2, 2, 2 * tokens + 3, 4))
    expected = slow._forward_sa(x, query_pos, grid)
    assert error(fast._forward_sa(*tensors(x, query_pos), grid).detach().numpy(), expected) <= bound("float64", 30)
    expected = slow._forward_ca(x, memory, query_pos, pos, 3, grid)
    result = fast._forward_ca(*tensors(x, memory, query_pos, pos), 3, grid)
    assert error(result.detach().numpy(), expected) <= bound("float64", 30)
    expected = slow(x, memory, pos, query_pos, 3, grid)
    result = fast(*tensors(x, memory, pos, query_pos), 3, grid)
    assert error(result.detach().numpy(), expected) <= bound("float64", 30)


@given(seed=seeds, sizes=st.tuples(*[st.integers(1, 7)] * 6), objects=st.integers(1, 3), shared=st.booleans())
def test_memory_space_is_the_plain_form(seed, sizes, objects, shared):
    heads, queries, keys, width, memory_dim, scale = sizes
    rng = np.random.default_rng(seed)
    query = rng.standard_normal((1 if shared else objects, heads, queries, width)) * scale
    key = rng.standard_normal((objects, heads, keys, width))
    memory = rng.standard_normal((objects, keys, memory_dim))
    weight, bias = rng.standard_normal((heads * width, memory_dim)), rng.standard_normal(heads * width)
    value = attention.split_heads(memory @ weight.T + bias, heads)
    plain = attention.attend(query, key, value)
    ours = attention.attend_in_memory_space(query, key, memory, weight, bias)
    assert error(ours, plain) <= bound("float64", 30)
    for kernel in ON_CPU:
        twin = attend_in_memory_space(*tensors(query, key, memory, weight, bias), kernel=kernel)
        assert error(twin.numpy(), plain) <= bound("float64", 30), kernel
