"""One layer backwards: as measured with every combination of its encodings."""

import numpy as np
import pytest

from checks import error
from finite_differences import check_gradients
from memory_attention.reference import MemoryAttentionLayer, RoPEAttention
from memory_attention.reference.backward.layer import (
    memory_attention_layer_backward,
    memory_attention_layer_forward,
)
from memory_attention.tolerances import bound

GRID, POINTERS, FRAMES = (2, 3), 4, 2


@pytest.mark.parametrize("at_attn", [True, False])
@pytest.mark.parametrize("at_keys", [True, False])
@pytest.mark.parametrize("at_queries", [True, False])
def test_a_layer_is_as_measured(at_attn, at_keys, at_queries):
    rng = np.random.default_rng(0)
    layer = MemoryAttentionLayer(
        activation="glu" if at_keys else "gelu",
        cross_attention=RoPEAttention(8, 2, kv_in_dim=3, rope_theta=100.0, rope_k_repeat=True),
        d_model=8,
        dim_feedforward=10,
        dropout=0.1,
        pos_enc_at_attn=at_attn,
        pos_enc_at_cross_attn_keys=at_keys,
        pos_enc_at_cross_attn_queries=at_queries,
        self_attention=RoPEAttention(8, 1, downsample_rate=2, rope_theta=100.0),
    )
    layer.load_parameters({n: rng.standard_normal(p.shape) for n, p in layer.named_parameters()})
    tgt, query_pos, d_out = rng.standard_normal((3, 2, 6, 8))
    memory, pos = rng.standard_normal((2, 2, FRAMES * 6 + POINTERS, 3))
    inputs = (tgt, memory, pos, query_pos, POINTERS, GRID)
    out, cache = memory_attention_layer_forward(layer, *inputs)
    assert error(out, layer(*inputs)) <= bound("float64", 30)

    d_tgt, d_memory, d_pos, d_query_pos, gradients = memory_attention_layer_backward(d_out, cache)
    arrays = {"tgt": tgt, "memory": memory, **dict(layer.named_parameters())}
    gradients |= {"tgt": d_tgt, "memory": d_memory}
    assert (d_pos is not None) == at_keys
    assert (d_query_pos is not None) == (at_attn or at_queries)
    if d_pos is not None:
        arrays["pos"], gradients["pos"] = pos, d_pos
    if d_query_pos is not None:
        arrays["query_pos"], gradients["query_pos"] = query_pos, d_query_pos
    check_gradients(lambda: layer(*inputs), arrays, gradients, d_out)
