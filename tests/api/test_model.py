"""`load` and the model that it gives."""

import numpy as np
import pytest
import torch

import memory_attention as ma
from checks import error
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound

CONFIG = ma.load_config("tiny")
INPUTS = draw_inputs(CONFIG)


@pytest.mark.parametrize("backend", ["reference", "accelerated"])
def test_dtypes_in_and_out(backend, dtype):
    result = ma.load(CONFIG, backend, device="cpu", dtype=dtype)(*INPUTS)
    assert isinstance(result, np.ndarray)
    assert (result.shape, result.dtype) == (INPUTS.curr.shape, "float32" if dtype == "bfloat16" else dtype)


def test_config_is_a_name_a_path_or_parsed(tmp_path):
    from memory_attention.configs import loader

    path = loader.FOLDER / "tiny.yaml"
    for config in ("tiny", path, str(path), CONFIG):
        assert ma.load(config).config == CONFIG


@pytest.mark.parametrize("backend", ["reference", "accelerated"])
def test_a_trace_has_every_step_in_order_and_no_matrix(backend):
    model = ma.load("sam2.1_hiera_t", backend)
    inputs = draw_inputs(model.config, memories=2, grid=(3, 3))
    steps = model.trace(*inputs)
    assert list(steps)[:7] == [
        "input",
        "layers.0.norm1",
        "layers.0.self_attn.q",
        "layers.0.self_attn.k",
        "layers.0.self_attn.v",
        "layers.0.self_attn.q_rotated",
        "layers.0.self_attn.k_rotated",
    ]
    assert list(steps)[-2:] == ["layers.3.feed_forward", "norm"]
    # A call may leave the values in memory space; a trace shows them.
    assert error(model(*inputs), steps["norm"].swapaxes(0, 1)) <= bound("float32")
    queries, keys = inputs.curr.shape[0], inputs.memory.shape[0]
    assert not any({queries, keys} <= set(step.shape) for step in steps.values())
    assert not any(step.shape.count(queries) > 1 for step in steps.values())
    with pytest.raises(ValueError, match="names has 'nonsense', which is no step"):
        model.trace(*inputs, names=["norm", "nonsense"])
    only = model.trace(*inputs, names=["layers.1.norm2"])
    assert list(only) == ["layers.1.norm2"]
    np.testing.assert_array_equal(only["layers.1.norm2"], steps["layers.1.norm2"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_inputs_that_are_not_finite_get_a_warning(value, tiny_model):
    memory = INPUTS.memory.copy()
    memory[0, 0, 0] = value
    with (
        np.errstate(all="ignore"),
        pytest.warns(RuntimeWarning, match="memory has values that are NaN or infinite"),
    ):
        tiny_model(*INPUTS._replace(memory=memory))


def test_what_load_does_not_know_is_named():
    with pytest.raises(ValueError, match="dtype is 'int8', expected one of"):
        ma.load(CONFIG, dtype="int8")
    with pytest.raises(ValueError, match="seed is -1"):
        ma.load(CONFIG, seed=-1)
    with pytest.raises(TypeError, match="weights is list"):
        ma.load(CONFIG, weights=[1])
    with pytest.raises(TypeError, match="config is dict"):
        ma.load({"memory_attention": {}})


def test_gradients_pass_through_a_model():
    *arrays, pointers, _ = draw_inputs(CONFIG, memories=2, pointers=3, objects=2)
    tensors = [torch.from_numpy(array).requires_grad_() for array in arrays]
    ma.load(CONFIG, "accelerated", device="cpu")(*tensors, pointers).sum().backward()
    assert all(t.grad is not None for t in tensors)
