"""The weights before training."""

import numpy as np

from memory_attention.configs import load_config
from memory_attention.tracker import initial_weights
from memory_attention.tracker.weights import tracker_shapes

CONFIG = load_config("tracker")


def test_initial_weights_are_all_there_and_drawn_by_the_seed():
    weights = initial_weights(CONFIG, seed=0)
    assert {name: array.shape for name, array in weights.items()} == tracker_shapes(CONFIG)
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    again = initial_weights(CONFIG, seed=0)
    assert all(np.array_equal(weights[name], again[name]) for name in weights)
