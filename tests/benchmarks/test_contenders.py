"""Contenders compute the same from the same."""

import numpy as np
import pytest
import torch

import memory_attention as ma
from memory_attention.benchmarks.cases import Case, Setting
from memory_attention.benchmarks.contenders import PACKAGES, available, build_contender, one_frame
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound

SETTING = Setting("tiny", "cpu", "float32", seed=0, turns=3)


def test_contenders_compute_the_same():
    config = ma.load_config("sam2.1_hiera_t")
    weights = ma.load(config).weights
    inputs = draw_inputs(config, memories=2, objects=2, grid=(4, 4))
    shared = inputs._replace(
        curr=np.repeat(inputs.curr[:, :1], 2, 1), curr_pos=np.repeat(inputs.curr_pos[:, :1], 2, 1)
    )
    truth = ma.load(config, weights=weights, dtype="float64")(
        *(array.astype(float) if isinstance(array, np.ndarray) else array for array in shared)
    )
    names, _ = available(config, "cpu", compiled=False)
    # A compiler takes its time, and has tests of its own.
    for name in [name for name in names if not name.endswith(" compiled")]:
        contender = build_contender(name, config, weights, Case(2, 2, 4), SETTING)
        with torch.inference_mode():
            out = contender.to_numpy(one_frame(contender, inputs)())
        assert np.abs(out - truth).max() <= bound("float32", 20) * np.abs(truth).max(), name


def test_only_ours_are_given_one_frame_for_all():
    config = ma.load_config("sam2.1_hiera_t")
    weights, inputs = ma.load(config).weights, draw_inputs(config, memories=1, objects=2, grid=(4, 4))
    names, _ = available(config, "cpu", compiled=True)
    for name in names:
        contender, given = build_contender(name, config, weights, Case(2, 2, 4), SETTING), []

        def attention(given=given, **arguments):
            given.append((arguments["curr"].shape[1], arguments["memory"].shape[1]))
            return torch.zeros(16, arguments["memory"].shape[1], 256)

        contender.attention = attention
        one_frame(contender, inputs)()
        if name == "one by one":
            assert given == [(1, 1), (1, 1)]
        else:
            assert given == [(1 if name in ("fast", "reference", "fast compiled") else 2, 2)], name


def test_who_is_missing_is_named_in_a_word(monkeypatch):
    """A config that the peer cannot express leaves it out, at once, and the rest is measured."""
    names, missing = available(ma.load_config("tiny"), "cpu", compiled=False)
    assert "knows no other rope_theta" in missing["transformers"]
    assert missing["transformers"] == missing["accelerate"] == missing["transformers compiled"]
    assert {"fast", "plain", "textbook", "reference"} <= set(names)
    assert not missing.keys() & set(names)
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    _, missing = available(ma.load_config("sam2.1_hiera_t"), "cpu", compiled=True)
    assert missing["transformers compiled"] == "transformers is not installed"
    assert missing["sam2"] == "sam2 is not installed"
    names, missing = available(ma.load_config("tiny"), "cuda", compiled=True)
    assert (missing["reference"], missing["onnx"]) == ("it is NumPy's", "it runs on the CPU")
    assert "fast compiled" in names


def test_a_registered_backend_of_that_name_is_onnx(monkeypatch):
    """Whoever registers it: found by its name, and called as a model."""

    class Backend:
        def build(self, config, weights, device, dtype):
            return lambda curr, memory, *rest: 2 * curr

    config = ma.load_config("tiny")
    monkeypatch.setattr("memory_attention.backends.finding._registered", {"onnx": Backend()})
    monkeypatch.setitem(PACKAGES, "onnx", ("numpy",))
    names, missing = available(config, "cpu", compiled=False)
    assert "onnx" in names
    assert "onnx" not in missing
    inputs = draw_inputs(config, memories=1, objects=2)
    contender = build_contender("onnx", config, ma.draw_weights(config), Case(1, 2, 4), SETTING)
    np.testing.assert_array_equal(one_frame(contender, inputs)(), 2 * inputs.curr[:, [0, 0]])


@pytest.mark.parametrize("name", ["fast", "transformers", "accelerate", "sam2"])
def test_gradients_reach_every_parameter_and_input(name):
    config = ma.load_config("sam2.1_hiera_t")
    pytest.importorskip("transformers" if name != "sam2" else "iopath")
    contender = build_contender(name, config, ma.draw_weights(config), Case(2, 1, 4), SETTING)
    kept = []
    contender.native = lambda array: kept.append(torch.from_numpy(array)) or kept[-1]
    one_frame(contender, draw_inputs(config, memories=2, grid=(4, 4)), gradients=True)()
    curr, memory, *rest = kept
    assert all(tensor.grad.abs().max() > 0 for tensor in (curr, memory))
    assert all(tensor.grad is None for tensor in rest)


@pytest.mark.parametrize(
    ("name", "kernel", "space"), [("plain", "pytorch", False), ("textbook", "textbook", False)]
)
def test_what_the_slow_contenders_are(name, kernel, space):
    config = ma.load_config("tiny")
    contender = build_contender(name, config, ma.draw_weights(config), Case(2, 1, 4), SETTING)
    parts = [part for part in contender.attention.modules() if hasattr(part, "memory_space")]
    assert {(part.kernel, part.memory_space) for part in parts} == {(kernel, False)}
