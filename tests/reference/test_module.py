"""Parameters that are taken over are a module's own."""

import numpy as np

from memory_attention.reference import RoPEAttention


def test_parameters_are_copied():
    module, rng = RoPEAttention(embedding_dim=8, num_heads=2, kv_in_dim=4), np.random.default_rng(0)
    given = {name: rng.standard_normal(own.shape).astype(np.float32) for name, own in module.named_parameters()}
    kept = {name: array.copy() for name, array in given.items()}
    module.load_parameters(given)
    for array in given.values():
        array += 1
    for name, own in module.named_parameters():
        np.testing.assert_array_equal(own, kept[name])
