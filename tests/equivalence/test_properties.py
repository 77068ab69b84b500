"""What must hold whoever computes it: properties that pin the mathematics down."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import memory_attention as ma
from cases import cases, configs, grids, random_weights, rounded, seeds, shared_frame
from checks import error
from memory_attention.configs import Config
from memory_attention.reference.attention import (
    scaled_dot_product_attention,
    softmax,
    tiled_scaled_dot_product_attention,
)
from memory_attention.tolerances import bound


def load(case_or_config, backend, device, weights=None):
    config = case_or_config if isinstance(case_or_config, Config) else case_or_config.config
    weights = weights if weights is not None else case_or_config.weights
    return ma.load(config, backend, weights, device=None if backend == "reference" else device, dtype="float64")


@given(case=cases(max_layers=1), kind=st.sampled_from(["self", "cross"]))
def test_attention_maps_are_the_softmax_rows(case, kind, backend, device):
    """Rows are positive, sum to one, and give the attended values that the trace shows."""
    model = load(case, backend, device)
    rows = model.attention_map(*case.inputs, layer=0, kind=kind, queries="all")
    assert (rows >= 0).all()
    np.testing.assert_allclose(rows.sum(axis=-1), 1, rtol=1e-12)
    prefix = {"self": "layers.0.self_attn", "cross": "layers.0.cross_attn_image"}[kind]
    steps = model.trace(*case.inputs, names=[f"{prefix}.v", f"{prefix}.attended"])
    attended = (rows @ steps[f"{prefix}.v"]).swapaxes(1, 2)
    assert error(steps[f"{prefix}.attended"], attended.reshape(*attended.shape[:2], -1)) <= bound("float64", 30)
    one = model.attention_map(*case.inputs, layer=0, kind=kind, queries=rows.shape[2] - 1)
    np.testing.assert_array_equal(one[:, :, 0].shape, rows[:, :, -1].shape)
    np.testing.assert_allclose(one[:, :, 0], rows[:, :, -1], rtol=1e-9, atol=1e-300)


@given(case=cases(), seed=seeds)
def test_permuting_the_batch_permutes_the_result(case, seed, backend, device):
    axis = 1 if case.config.memory_attention.batch_first else 0
    order = np.random.default_rng(seed).permutation(case.inputs.curr.shape[axis])
    permuted = [np.take(a, order, axis) if isinstance(a, np.ndarray) else a for a in case.inputs]
    model = load(case, backend, device)
    expected = np.take(model(*case.inputs), order, axis)
    assert error(model(*permuted), expected) <= bound("float64", 30)


@given(case=cases(), seed=seeds)
def test_without_rotation_the_order_of_the_memory_is_nothing(case, seed, backend, device):
    layer = case.config.memory_attention.layer
    plain = layer.cross_attention.model_copy(update={"rotary": False})
    network = case.config.memory_attention.model_copy(
        update={"layer": layer.model_copy(update={"cross_attention": plain})}
    )
    model = load(case.config.with_changes(memory_attention=network), backend, device, case.weights)
    axis = 0 if network.batch_first else 1
    order = np.random.default_rng(seed).permutation(case.inputs.memory.shape[axis])
    memory = np.take(case.inputs.memory, order, axis)
    pos = case.inputs.memory_pos
    pos = pos if pos is None else np.take(pos, order, axis)
    permuted = case.inputs._replace(memory=memory, memory_pos=pos)
    assert error(model(*permuted), model(*case.inputs)) <= bound("float64", 30)


@given(case=cases())
def test_every_memory_twice_changes_nothing(case, backend, device):
    axis = 0 if case.config.memory_attention.batch_first else 1

    def twice(array):
        if array is None:
            return None
        cut = array.shape[axis] - case.inputs.num_obj_ptr_tokens
        frames, pointers = np.split(array, [cut], axis)
        return np.concatenate([frames, frames, pointers, pointers], axis)

    doubled = case.inputs._replace(
        memory=twice(case.inputs.memory),
        memory_pos=twice(case.inputs.memory_pos),
        num_obj_ptr_tokens=2 * case.inputs.num_obj_ptr_tokens,
    )
    model = load(case, backend, device)
    assert error(model(*doubled), model(*case.inputs)) <= bound("float64", 30)


@given(grid=grids, seed=seeds, data=st.data())
def test_pointers_have_no_place(grid, seed, data, backend, device):
    """The order of the pointers is nothing, even where the frames' keys are rotated."""
    config = data.draw(configs(grid, max_layers=1))
    rng = np.random.default_rng(seed)
    network, tokens, pointers = config.memory_attention, grid[0] * grid[1], 5
    curr, curr_pos = rng.standard_normal((2, tokens, 2, network.d_model))
    memory, pos = rng.standard_normal((2, tokens + pointers, 2, network.memory_dim))
    order = np.concatenate([np.arange(tokens), tokens + rng.permutation(pointers)])
    inputs, permuted = (curr, memory, curr_pos, pos), (curr, memory[order], curr_pos, pos[order])
    if not network.batch_first:
        inputs, permuted = ([a.swapaxes(0, 1) for a in arrays] for arrays in (inputs, permuted))
    model = load(config, backend, device, random_weights(config, rng))
    expected = model(*inputs, pointers, grid)
    assert error(model(*permuted, pointers, grid), expected) <= bound("float64", 30)


@given(seed=seeds)
def test_extreme_scores_stay_finite(seed, dtype, device):
    """Logits of ±1e4 overflow exp in every dtype; the largest one still wins."""
    import torch

    from memory_attention.accelerated.attention import scaled_dot_product_attention as fast

    rng = np.random.default_rng(seed)
    query = np.full((1, 1, 2, 4), 100.0)
    key = np.array([100.0, -100.0, 0.0])[None, None, :, None] * np.ones(4) * np.sqrt(4) / 4
    value = rng.standard_normal((1, 1, 3, 4))
    tensors = [torch.from_numpy(a).to(device, getattr(torch, dtype)) for a in (query, key, value)]
    expected = np.broadcast_to(value[:, :, :1], query.shape)
    arrays = [a.astype("float32" if dtype == "bfloat16" else dtype) for a in (query, key, value)]
    results = [
        fast(*tensors).double().cpu().numpy(),
        scaled_dot_product_attention(*arrays),
        tiled_scaled_dot_product_attention(*arrays, 1, 2),
    ]
    for result in results:
        assert error(result, expected) <= bound(dtype)
    assert np.isfinite(softmax(np.array([1e4, -1e4, 0.0]))).all()


@given(case=cases())
def test_a_call_changes_none_of_its_inputs(case, backend, device):
    copies = [a.copy() if isinstance(a, np.ndarray) else a for a in case.inputs]
    load(case, backend, device)(*case.inputs)
    for before, after in zip(copies, case.inputs, strict=True):
        np.testing.assert_array_equal(before, after)


@given(case=cases())
def test_running_twice_gives_the_same(case, backend, device):
    model = load(case, backend, device)
    first = model(*case.inputs)
    assume(np.isfinite(first).all())
    np.testing.assert_array_equal(model(*case.inputs), first)


@given(case=cases(), dtype=st.sampled_from(["float64", "float32", "bfloat16"]))
def test_a_shared_frame_is_the_frame_repeated(case, dtype, backend, device):
    once, repeated, _ = shared_frame(rounded(case, dtype))
    model = ma.load(
        case.config, backend, case.weights, device=None if backend == "reference" else device, dtype=dtype
    )
    expected = model(*repeated)
    result = model(*once)
    assert result.shape == expected.shape
    assert error(result, expected) <= bound(dtype, 30)


@given(case=cases(), sides=st.permutations([1, 2, 3, 5]), data=st.data())
def test_a_grid_that_is_not_said_is_feat_sizes_or_a_square(case, sides, data, backend, device):
    """`feat_sizes` is (w, h); where it does not fit, a square number of tokens is a square."""
    network, layer = case.config.memory_attention, case.config.memory_attention.layer
    square = data.draw(st.booleans())
    height, width = (sides[0], sides[0]) if square else sides[:2]
    sizes = (7, 11) if square else (width, height)
    changed = {
        name: getattr(layer, name).model_copy(
            update={"feat_sizes": sizes, "rotary": getattr(layer, name).head_dim % 4 == 0}
        )
        for name in ("self_attention", "cross_attention")
    }
    network = network.model_copy(update={"layer": layer.model_copy(update=changed)})
    model = load(case.config.with_changes(memory_attention=network), backend, device, case.weights)
    rng = np.random.default_rng(data.draw(seeds))

    def array(count, channels):
        return rng.standard_normal((count, 2, channels) if network.batch_first else (2, count, channels))

    tokens = height * width
    curr, memory = array(tokens, network.d_model), array(2 * tokens + 3, network.memory_dim)
    positions = array(tokens, network.d_model), array(2 * tokens + 3, network.memory_dim)
    said = model(curr, memory, *positions, 3, (height, width))
    np.testing.assert_array_equal(model(curr, memory, *positions, 3), said)


@given(case=cases(), kind=st.sampled_from(["self", "cross"]))
def test_layers_are_counted_from_the_end_too(case, kind, backend, device):
    model, layers = load(case, backend, device), case.config.memory_attention.num_layers
    for layer in range(layers):
        first, last = (
            model.attention_map(*case.inputs, layer=index, kind=kind, queries=[0])
            for index in (layer, layer - layers)
        )
        np.testing.assert_array_equal(first, last)
