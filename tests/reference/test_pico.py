"""The whole on one page is the classes' whole: SAM 2's settings at every size, in float64 to the bound."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import memory_attention as ma
from cases import random_weights, seeds
from checks import error
from memory_attention.configs import AttentionConfig, Config, LayerConfig, MemoryAttentionConfig, MemoryBankConfig
from memory_attention.reference import pico
from memory_attention.tolerances import bound

grids = st.sampled_from([(2, 3), (3, 2), (4, 3), (1, 5), (5, 2)])


def network(d_model, memory_dim, hidden, layers):
    """SAM 2's settings, which are the schema's own, at another size."""
    layer = LayerConfig(
        d_model=d_model,
        dim_feedforward=hidden,
        self_attention=AttentionConfig(embedding_dim=d_model),
        cross_attention=AttentionConfig(embedding_dim=d_model, kv_in_dim=memory_dim, rope_k_repeat=True),
    )
    return Config(
        name="drawn",
        memory_attention=MemoryAttentionConfig(d_model=d_model, layer=layer, num_layers=layers),
        memory_bank=MemoryBankConfig(use_obj_ptrs_in_encoder=False),
    )


def draw_inputs(rng, config, grid, objects, memories, pointers, dtype=np.float64):
    """curr, memory, curr_pos, memory_pos of a frame that sees so many memories and pointer tokens."""
    tokens = grid[0] * grid[1]
    frame = (tokens, objects, config.memory_attention.d_model)
    memory = (memories * tokens + pointers, objects, config.memory_attention.memory_dim)
    return [rng.standard_normal(shape).astype(dtype) for shape in (frame, memory, frame, memory)]


@given(
    seed=seeds,
    grid=grids,
    objects=st.integers(2, 3),
    memories=st.integers(0, 3),
    pointers=st.integers(1, 5),
    d_model=st.sampled_from([8, 12, 20]),
    memory_dim=st.sampled_from([3, 4, 7]),
    layers=st.integers(2, 3),
)
def test_it_is_the_classes_whole(seed, grid, objects, memories, pointers, d_model, memory_dim, layers):
    rng = np.random.default_rng(seed)
    config = network(d_model, memory_dim, 2 * d_model + 2, layers)
    weights = random_weights(config, rng)
    inputs = draw_inputs(rng, config, grid, objects, memories, pointers)
    truth = ma.load(config, "reference", weights, dtype="float64")(*inputs, pointers, grid)
    result = pico.memory_attention(weights, *inputs, pointers, grid)
    assert result.dtype == np.float64
    assert error(result, truth) <= bound("float64")


@pytest.mark.parametrize("name", ["sam2_hiera_b+", "sam2.1_hiera_t", "sam3_tracker", "tracker"])
def test_it_takes_the_weights_of_a_loaded_model(name):
    """Those of the memory bank lie among them; without pointers and in float32, too."""
    model = ma.load(name, "reference", dtype="float32")
    grid = (5, 3)
    inputs = draw_inputs(np.random.default_rng(7), model.config, grid, 2, 3, 0, np.float32)
    result = pico.memory_attention(model.weights, *inputs, 0, grid)
    assert result.dtype == np.float32
    assert error(result, model(*inputs, 0, grid)) <= bound("float32")


def test_large_scores_stay_finite():
    assert np.array_equal(pico.softmax(np.array([[[1e4, -1e4, 1e4, 9e3]]])), [[[0.5, 0, 0.5, 0]]])


def test_it_is_one_page_and_needs_numpy_alone():
    source = Path(pico.__file__).read_text(encoding="utf-8")
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["import numpy as np"]
    assert len(source.splitlines()) <= 80
