"""`load`, the flag, and backends of others."""

import subprocess
import sys

import numpy as np
import pytest

import memory_attention as ma
from checks import error
from memory_attention.backends.finding import ENTRY_POINTS
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound

CONFIG = ma.load_config("tiny")
INPUTS = draw_inputs(CONFIG)


def test_the_flag_is_the_same_word_everywhere(monkeypatch):
    assert ma.load(CONFIG).backend == "reference"
    monkeypatch.setenv("MEMORY_ATTENTION_BACKEND", "accelerated")
    assert ma.load(CONFIG).backend == "accelerated"
    assert ma.load(CONFIG, backend="reference").backend == "reference"


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


class Doubled:
    """A backend of somebody else: the reference, and on every call it counts."""

    calls = 0

    def build(self, config, weights, device, dtype):
        network = ma.load(config, "reference", weights, dtype=dtype).network

        def forward(*inputs):
            Doubled.calls += 1
            return network(*inputs)

        return forward


@pytest.fixture
def fresh_registry(monkeypatch):
    monkeypatch.setattr("memory_attention.backends.finding._registered", {})


def test_a_registered_backend(fresh_registry):
    ma.register_backend("doubled", Doubled())
    assert "doubled" in ma.available_backends()
    result = ma.load(CONFIG, "doubled")(*INPUTS)
    assert Doubled.calls == 1
    np.testing.assert_array_equal(result, ma.load(CONFIG, "reference")(*INPUTS))
    assert all(step.within for step in ma.compare(ma.load(CONFIG), ma.load(CONFIG, "doubled"), *INPUTS))
    with pytest.raises(TypeError, match="backend is int, expected an object with a method build"):
        ma.register_backend("number", 3)
    with pytest.raises(ValueError, match="name is 'reference', which is taken"):
        ma.register_backend("reference", Doubled())


def test_a_backend_from_an_entry_point(monkeypatch, fresh_registry):
    class Entry:
        name = "plugged"

        def load(self):
            return Doubled()

    monkeypatch.setattr(
        "memory_attention.backends.finding.entry_points", lambda group: [Entry()] * (group == ENTRY_POINTS)
    )
    assert ma.available_backends() == ["reference", "accelerated", "plugged"]
    assert ma.load(CONFIG, "plugged").backend == "plugged"


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


def test_compare_sees_a_difference():
    model, other = ma.load(CONFIG, seed=0), ma.load(CONFIG, seed=1)
    steps = {step.step: step for step in ma.compare(model, other, *INPUTS)}
    assert steps["input"].within
    assert not steps["norm"].within
    same = ma.compare(model, ma.load(CONFIG, "accelerated", device="cpu"), *INPUTS)
    assert all(step.within for step in same)
    assert max(step.relative_error for step in same) > 0


def test_importing_is_light():
    """NumPy alone reads and runs the reference: nothing heavy is imported."""
    code = (
        "import sys, memory_attention as ma; ma.load('tiny'); import memory_attention.reference;"
        "heavy = {'torch', 'matplotlib', 'skimage', 'typer', 'rich', 'scipy', 'transformers'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
