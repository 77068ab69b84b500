"""A small network with nothing at its default, for what is exported: weights, inputs, and what they must give."""

import numpy as np

import memory_attention as ma
from cases import random_weights
from memory_attention.configs import AttentionConfig, Config, LayerConfig, MemoryAttentionConfig, MemoryBankConfig
from memory_attention.inputs import Inputs

GRID = (3, 5)


def network(batch_first=True, num_layers=2, **changes):
    """Three heads and two, two widths, two angles, every flag against its default."""
    layer = LayerConfig(
        d_model=24,
        activation="gelu",
        dim_feedforward=10,
        pos_enc_at_attn=True,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=True,
        self_attention=AttentionConfig(embedding_dim=24, num_heads=3, rope_theta=300.0, feat_sizes=(5, 3)),
        cross_attention=AttentionConfig(
            embedding_dim=24,
            num_heads=2,
            downsample_rate=3,
            kv_in_dim=6,
            rope_theta=70.0,
            rope_k_repeat=True,
            feat_sizes=(5, 3),
        ),
    ).model_copy(update=changes)
    parts = {"d_model": 24, "pos_enc_at_input": False, "num_layers": num_layers, "batch_first": batch_first}
    bank = MemoryBankConfig(use_obj_ptrs_in_encoder=True)
    return Config(name="exported", memory_attention=MemoryAttentionConfig(layer=layer, **parts), memory_bank=bank)


CONFIG = network()
WEIGHTS = random_weights(CONFIG, np.random.default_rng(11))


def drawn(frames, pointer_tokens, objects, grid=GRID, config=CONFIG, seed=5, shared=False):
    """Inputs in float64; `shared` gives one frame for all objects."""
    rng = np.random.default_rng(seed)
    net, tokens = config.memory_attention, grid[0] * grid[1]

    def array(count, batch, channels):
        shape = (count, batch, channels) if net.batch_first else (batch, count, channels)
        return rng.standard_normal(shape)

    remembered = frames * tokens + pointer_tokens
    curr, curr_pos = (array(tokens, 1 if shared else objects, net.d_model) for _ in range(2))
    memory, memory_pos = (array(remembered, objects, net.memory_dim) for _ in range(2))
    return Inputs(curr, memory, curr_pos, memory_pos, pointer_tokens, grid)


def truth(inputs, config=CONFIG, weights=WEIGHTS):
    """The reference in float64."""
    return ma.load(config, "reference", weights, dtype="float64")(*inputs)
