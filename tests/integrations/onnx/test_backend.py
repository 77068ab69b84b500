"""The exported graph behind the front door, and a file of it."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import memory_attention as ma
from cases import cases
from checks import check_equivalence, error
from exports import CONFIG, GRID, WEIGHTS, drawn, network, truth
from memory_attention.backends.reference import round_to_bfloat16
from memory_attention.integrations.form import LONGEST_SIDE, Form
from memory_attention.integrations.onnx.backend import FileBackend, GraphBackend
from memory_attention.integrations.onnx.file import build_model
from memory_attention.tolerances import bound

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import memory_attention as ma
from memory_attention.inputs import draw_inputs
config = ma.load_config("tiny")
print(ma.load(config, "onnx")(*draw_inputs(config)).shape)
"""


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The two opsets under names of their own."""
    monkeypatch.setattr("memory_attention.backends.finding._registered", {})
    for opset in (18, 23):
        ma.register_backend(f"opset {opset}", GraphBackend(opset))


@pytest.fixture
def exported(tmp_path):
    """A file with a fixed grid, and a model that runs it."""

    def model(form=Form(23, "float32", GRID), config=CONFIG, weights=WEIGHTS, dtype="float32"):  # noqa: B008
        path = tmp_path / "memory.onnx"
        path.write_bytes(build_model(CONFIG, WEIGHTS, form).SerializeToString())
        ma.register_backend("file", FileBackend(path))
        return ma.load(config, "file", weights, dtype=dtype)

    return model


@pytest.mark.parametrize("opset", [18, 23])
@settings(max_examples=6)
@given(case=cases(), dtype=st.sampled_from(["float32", "float16", "bfloat16", "float64"]))
def test_every_step_and_the_whole(case, dtype, opset):
    opset = 18 if dtype == "float64" else opset
    check_equivalence(case, f"opset {opset}", "cpu", dtype)


def test_it_is_found_by_its_name():
    assert "onnx" in ma.available_backends()
    inputs = drawn(2, 3, 2)
    assert error(ma.load(CONFIG, "onnx", WEIGHTS, device="cpu")(*inputs), truth(inputs)) <= bound("float32", 20)


def test_it_needs_no_torch():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True)
    assert done.stdout.split() == ["(16,", "1,", "16)"], done.stderr


def test_another_grid_in_every_call():
    model = ma.load(CONFIG, "onnx", WEIGHTS)
    for grid in ((2, 7), (7, 2), (1, 1), (LONGEST_SIDE, 1)):
        inputs = drawn(1, 2, 1, grid)
        assert error(model(*inputs), truth(inputs)) <= bound("float32", 20), grid


def test_a_side_beyond_the_longest():
    with pytest.raises(ValueError, match=rf"grid is \(1, {LONGEST_SIDE + 1}\), expected sides of at most"):
        ma.load(CONFIG, "onnx", WEIGHTS)(*drawn(1, 0, 1, (1, LONGEST_SIDE + 1)))


def test_attentions_that_guess_different_grids():
    layer = CONFIG.memory_attention.layer
    other = layer.self_attention.model_copy(update={"feat_sizes": (3, 5)})
    config, inputs = network(self_attention=other), drawn(1, 0, 1)
    with pytest.raises(ValueError, match=r"feat_sizes of the two attentions are the grids \[\(3, 5\), \(5, 3\)\]"):
        ma.load(config, "onnx", WEIGHTS)(*inputs._replace(grid=None))


def test_a_position_that_a_flag_asks_for():
    with pytest.raises(ValueError, match="memory_pos is None, expected an encoding because pos_enc_at_cross_attn"):
        ma.load(CONFIG, "onnx", WEIGHTS)(*drawn(1, 2, 1)._replace(memory_pos=None))


def test_bfloat16_is_float32_of_rounded_numbers():
    narrow = {name: round_to_bfloat16(weight) for name, weight in WEIGHTS.items()}
    inputs = drawn(2, 3, 1)
    rounded = [round_to_bfloat16(array) for array in inputs[:4]]
    expected = ma.load(CONFIG, "onnx", narrow)(*rounded, *inputs[4:])
    np.testing.assert_array_equal(ma.load(CONFIG, "onnx", WEIGHTS, dtype="bfloat16")(*inputs), expected)
    assert error(expected, truth(inputs)) > 10 * bound("float32")


def test_weights_are_copied():
    weights = {name: weight.astype(np.float32) for name, weight in WEIGHTS.items()}
    network, inputs = GraphBackend().build(CONFIG, weights, None, "float32"), drawn(1, 2, 1)
    for array in weights.values():
        array += 1
    assert error(network(*inputs, None), truth(inputs)) <= bound("float32", 20)


def test_refusals():
    with pytest.raises(ValueError, match="device is 'cuda', expected 'cpu': onnxruntime runs there"):
        ma.load(CONFIG, "onnx", WEIGHTS, device="cuda")
    tensors = [torch.from_numpy(array) for array in drawn(1, 2, 1)[:4]]
    with pytest.raises(TypeError, match="got Tensor, expected NumPy arrays for the onnx backend"):
        ma.load(CONFIG, "onnx", WEIGHTS)(*tensors, 2, GRID)
    with pytest.raises(ValueError, match="RotaryEmbedding of opset 23 has not"):
        ma.load(CONFIG, "opset 23", WEIGHTS, dtype="float64")


@pytest.mark.parametrize("grid", [GRID, None])
def test_a_file_is_a_backend(exported, grid):
    model = exported(Form(23, "float32", grid))
    for inputs in (drawn(2, 3, 2), drawn(1, 0, 3)):
        assert error(model(*inputs), truth(inputs)) <= bound("float32", 20)
    with pytest.raises(ValueError, match=r"memory\.onnx gives its result alone"):
        model.trace(*inputs)


def test_a_file_of_another_config(exported):
    layer = CONFIG.memory_attention.layer
    other = layer.cross_attention.model_copy(update={"rope_theta": 71.0})
    message = (
        r"memory\.onnx: it is of another config than 'exported': "
        r"memory_attention\.layer\.cross_attention\.rope_theta is 70\.0, expected 71\.0"
    )
    with pytest.raises(ValueError, match=message):
        exported(config=network(cross_attention=other))


def test_a_file_of_other_weights_or_another_dtype(exported):
    other = WEIGHTS | {"memory_attention.norm.bias": WEIGHTS["memory_attention.norm.bias"] + 1e-3}
    with pytest.raises(ValueError, match=r"memory\.onnx: its weights are not those that were given"):
        exported(weights=other)
    with pytest.raises(ValueError, match=r"memory\.onnx: its dtype is float32, expected float16"):
        exported(dtype="float16")


def test_a_file_with_a_fixed_grid_takes_no_other(exported):
    with pytest.raises(ValueError, match=r"grid is \(5, 3\), expected \(3, 5\), which the graph has for good"):
        exported()(*drawn(1, 2, 1, (5, 3)))


def test_files_that_are_none_of_ours(tmp_path):
    path = tmp_path / "other.onnx"
    ma.register_backend("file", FileBackend(path))
    with pytest.raises(FileNotFoundError, match=r"no such file: .*other\.onnx"):
        ma.load(CONFIG, "file", WEIGHTS)
    path.write_bytes(b"no model")
    with pytest.raises(ValueError, match="cannot run this graph"):
        ma.load(CONFIG, "file", WEIGHTS)
    model = build_model(CONFIG, WEIGHTS, Form())
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"other\.onnx: its version is none, expected 1: is it from"):
        ma.load(CONFIG, "file", WEIGHTS)
