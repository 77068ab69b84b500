"""The backends by name: the flag, those of others, and what each of ours can be asked for."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memory_attention as ma
from cases import seeds
from checks import error
from memory_attention.accelerated.kernels import KERNELS
from memory_attention.backends.finding import ENTRY_POINTS
from memory_attention.backends.reference import round_to_bfloat16
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound

CONFIG = ma.load_config("tiny")
INPUTS = draw_inputs(CONFIG)


def test_the_flag_is_the_same_word_everywhere(monkeypatch):
    assert ma.load(CONFIG).backend == "reference"
    monkeypatch.setenv("MEMORY_ATTENTION_BACKEND", "accelerated")
    assert ma.load(CONFIG).backend == "accelerated"
    assert ma.load(CONFIG, backend="reference").backend == "reference"


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


def test_an_unknown_backend_or_device_is_named():
    with pytest.raises(ValueError, match="backend is 'numpy', expected one of reference, accelerated"):
        ma.load(CONFIG, "numpy")
    with pytest.raises(ValueError, match="device is 'cuda', expected 'cpu'"):
        ma.load(CONFIG, "reference", device="cuda")
    with pytest.raises(ValueError, match="device is 'gpu0'"):
        ma.load(CONFIG, "accelerated", device="gpu0")


def test_cuda_asked_for_and_absent(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="device is 'cuda', but PyTorch sees no CUDA device"):
        ma.load(CONFIG, "accelerated", device="cuda")


def test_load_takes_a_kernel(device):
    expected = ma.load(CONFIG, "reference")(*INPUTS)
    model = ma.load(CONFIG, "accelerated", device=device, kernel="textbook")
    assert {part.kernel for part in model.network.module.modules() if hasattr(part, "kernel")} == {"textbook"}
    assert error(model(*INPUTS), expected) <= bound("float32", 10)
    with pytest.raises(ValueError, match=f"kernel is 'quick', expected one of {', '.join(KERNELS)}"):
        ma.load(CONFIG, "accelerated", kernel="quick")
    with pytest.raises(ValueError, match="kernel is 'math', but the reference backend has no such choice"):
        ma.load(CONFIG, "reference", kernel="math")
    with pytest.raises(ValueError, match="compiled is True, but the reference backend has no such choice"):
        ma.load(CONFIG, "reference", compiled=True)


def test_load_compiles(monkeypatch):
    """The graph is the same whatever writes its code; the writer of this test needs no C++ compiler."""
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module, mode: compile_(module, backend="aot_eager"))
    torch._dynamo.reset()
    model = ma.load(CONFIG, "accelerated", device="cpu", compiled=True)
    expected = ma.load(CONFIG, "reference")(*INPUTS)
    assert error(model(*INPUTS), expected) <= bound("float32", 10)
    assert error(model.trace(*INPUTS)["norm"].swapaxes(0, 1), expected) <= bound("float32", 10)


@given(seed=seeds, scale=st.sampled_from([1e-30, 1.0, 1e30]))
def test_bfloat16_is_rounded_to_the_nearest_and_ties_to_even(seed, scale):
    bits = np.random.default_rng(seed).integers(0, 2**16, 200, np.uint32) << 16
    near = np.concatenate([bits, bits + 0x7FFF, bits + 0x8000, bits + 0x8001]).view(np.float32)
    drawn = np.random.default_rng(seed).standard_normal(100).astype(np.float32) * np.float32(scale)
    array = np.concatenate([near[np.isfinite(near)], drawn])
    np.testing.assert_array_equal(round_to_bfloat16(array), torch.from_numpy(array).bfloat16().float().numpy())


@pytest.mark.parametrize("backend", ["reference", "accelerated"])
def test_weights_and_inputs_are_copied(backend):
    """What a caller does to his arrays afterwards is nothing to a model."""
    weights = ma.draw_weights(CONFIG, seed=2)
    model = ma.load(CONFIG, backend, weights, device="cpu")
    before = model(*INPUTS)
    for array in weights.values():
        array += 1
    np.testing.assert_array_equal(model(*INPUTS), before)


def test_the_reference_rounds_weights_and_inputs_to_bfloat16():
    def rounded(array):
        return round_to_bfloat16(array) if isinstance(array, np.ndarray) else array

    weights = ma.draw_weights(CONFIG, seed=2)
    narrow = {name: rounded(weight) for name, weight in weights.items()}
    expected = ma.load(CONFIG, "reference", narrow)(*map(rounded, INPUTS))
    np.testing.assert_array_equal(ma.load(CONFIG, "reference", weights, dtype="bfloat16")(*INPUTS), expected)
    assert np.abs(ma.load(CONFIG, "reference", weights)(*INPUTS) - expected).max() > 1e-4
