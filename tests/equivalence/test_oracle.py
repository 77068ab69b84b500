"""An implementation by others, Hugging Face's, gives the same numbers with the same weights."""

import numpy as np
import pytest
import torch

import memory_attention as ma
from cases import random_weights
from memory_attention.benchmarks.peers import build_peer
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound

transformers = pytest.importorskip("transformers", reason="the oracle is an optional dependency")


@pytest.mark.parametrize("grid", [(6, 6), (5, 7), (7, 4)])
@pytest.mark.parametrize("memories", [1, 3])
@pytest.mark.parametrize("pointers", [0, 2])
def test_the_same_numbers(grid, memories, pointers, backend, device):
    config = ma.load_config("sam2.1_hiera_t")
    inputs = draw_inputs(config, memories=memories, pointers=pointers, grid=grid)
    # Nothing special: neither norms that are 1 and 0, nor biases that are 0.
    drawn = random_weights(config, np.random.default_rng(7))
    weights = {name: weight.astype(np.float32) for name, weight in drawn.items()}
    model = ma.load(config, backend, weights, device=None if backend == "reference" else device)
    network = build_peer(config, model.weights, grid, kernel="eager")
    with torch.no_grad():
        arrays = [torch.from_numpy(array) for array in inputs[:4]]
        expected = network(*arrays, num_object_pointer_tokens=inputs.num_obj_ptr_tokens)
    expected = expected.squeeze(1).numpy() if expected.ndim == 4 else expected.numpy()
    result = model(*inputs)
    assert np.abs(result - expected.reshape(result.shape)).max() <= bound("float32", 20) * np.abs(expected).max()
