"""The norm in half precision, and its eps, which only a dim token shows."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cases import seeds
from checks import error
from memory_attention.accelerated.norm import LayerNorm, layer_norm
from memory_attention.tolerances import EPSILON, bound


def truth_of(x, weight, bias):
    wide = x.double().numpy()
    normal = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    return normal * weight.double().numpy() + bias.double().numpy()


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@given(seed=seeds, mean=st.sampled_from([-700.0, 300.0, 1000.0]))
def test_half_precision_is_normalised_in_float32(half, seed, mean):
    """The squares of such numbers are beyond float16, and their differences below its last place."""
    dtype, rng = getattr(torch, half), np.random.default_rng(seed)
    x = torch.from_numpy(mean + 300 * rng.standard_normal((3, 32))).to(dtype)
    weight, bias = torch.from_numpy(rng.standard_normal((2, 32))).to(dtype)
    result = layer_norm(x, weight, bias)
    assert result.dtype == dtype
    assert error(result.double().numpy(), truth_of(x, weight, bias)) <= EPSILON[half]


@given(seed=seeds, scale=st.sampled_from([1e-3, 3e-3]))
def test_a_dim_token_shows_eps(seed, scale):
    rng = np.random.default_rng(seed)
    norm = LayerNorm(12).double()
    with torch.no_grad():
        norm.weight.copy_(torch.from_numpy(rng.standard_normal(12)))
        norm.bias.copy_(torch.from_numpy(rng.standard_normal(12)))
        x = scale * torch.from_numpy(rng.standard_normal((2, 5, 12)))
        assert error(norm(x).numpy(), truth_of(x, norm.weight, norm.bias)) <= bound("float64")
