"""info, run and compare, run as their users run them."""

import numpy as np
import pytest

import memory_attention as ma
from command_line import check_refused, run, write_inputs
from memory_attention.inputs import draw_inputs

CONFIG = ma.load_config("tiny")


@pytest.fixture
def npz(tmp_path):
    return write_inputs(tmp_path / "inputs.npz")


def test_info(capfd):
    status, out, _ = run(capfd, "info", "--config", "tiny", "--objects", 2)
    assert status == 0
    assert "layers.0.cross_attn_image.k_rotated" in out
    assert "2 × 16 × 16" in out
    total = sum(np.prod(shape) for shape in ma.parameter_shapes(CONFIG).values())
    assert f"{total:,}" in out
    assert "Attention here: values projected for every head, kernel PyTorch's flash_attention" in out


@pytest.mark.parametrize("backend", ["reference", "accelerated"])
def test_run(capfd, npz, tmp_path, backend):
    output = tmp_path / "out.npz"
    status, out, _ = run(
        capfd, "run", "--config", "tiny", "--inputs", npz, "--output", output, "--backend", backend
    )
    assert status == 0
    assert "out (16, 2, 16) float32" in out
    assert "weights are random" in out
    expected = ma.load(CONFIG, backend)(*draw_inputs(CONFIG, memories=2, objects=2))
    np.testing.assert_array_equal(np.load(output)["out"], expected)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["inputs.npz", "out.npz"]


def test_compare(capfd, npz):
    words = ["compare", "--config", "tiny", "--inputs", npz, "--backend", "reference", "--device", "cpu"]
    status, out, _ = run(capfd, *words)
    assert status == 0
    assert "25 of 25 steps inside their bounds" in out
    status, out, _ = run(capfd, *words, "--against-dtype", "bfloat16")
    assert status == 0


def test_compare_fails_past_a_bound(capfd, npz, monkeypatch):
    monkeypatch.setitem(ma.BOUNDS, "float32", 1e-12)
    status, out, _ = run(capfd, "compare", "--config", "tiny", "--inputs", npz, "--device", "cpu")
    assert status == 1
    assert "PAST" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["info", "--config", "nothing"], "config: 'nothing' is neither"),
        (["info", "--dtype", "int8"], "dtype is 'int8'"),
        (["info", "--memories", "0"], "memories"),
        (["run"], "--output"),
        (["run", "--config", "tiny", "--inputs", "none.npz", "--output", "out.npz"], "no such file: none.npz"),
        (["run", "--config", "tiny", "--inputs", "{npz}", "--output", "{tmp}/no/out.npz"], "no such folder"),
        (["run", "--config", "tiny", "--inputs", "{tmp}/text.npz", "--output", "out.npz"], "not an .npz file"),
        (["run", "--config", "tiny", "--backend", "fast", "--output", "out.npz"], "backend is 'fast'"),
        (["compare", "--config", "tiny", "--weights", "{tmp}/text.npz"], "text.npz: is no checkpoint"),
        (["compare", "--config", "sam2.1_hiera_t", "--inputs", "{npz}"], "curr has 16 channels, expected 256"),
        (
            ["run", "--config", "tiny", "--backend", "accelerated", "--device", "xpu", "--output", "a.npz"],
            "device is",
        ),
        (["run", "--config", "tiny", "--output", "{tmp}"], "is a folder, expected a file"),
        (["compare", "--config", "tiny", "--inputs", "{npz}", "--memories", "2"], "memories and objects"),
        (["info", "--config", "{tmp}/deep.yaml"], "not a YAML file"),
        (["info", "--device", "nonsense"], "device is 'nonsense'"),
        (
            ["compare", "--config", "tiny", "--backend", "reference", "--against", "reference"],
            "against is 'reference' in the same dtype",
        ),
        (
            ["run", "--config", "tiny", "--grid", "90,110", "--output", "out.npz"],
            "the reference backend's matrix of 9,900 × ",
        ),
        (
            ["compare", "--config", "tiny", "--grid", "90,110"],
            "the reference backend's matrix of 9,900 × ",
        ),
    ],
)
def test_bad_input_is_one_line_and_status_2(words, message, capfd, npz, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.npz").write_text("text")
    (tmp_path / "deep.yaml").write_text("[" * 3000)
    check_refused(capfd, message, *[word.format(npz=npz, tmp=tmp_path) for word in words])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep.yaml", "inputs.npz", "text.npz"]


def test_arrays_of_other_names_are_refused(capfd, tmp_path):
    np.savez(tmp_path / "in.npz", curr=np.zeros(3), memori=np.zeros(3))
    status, _, err = run(capfd, "run", "--inputs", tmp_path / "in.npz", "--output", tmp_path / "out.npz")
    assert status == 2
    assert "has the array 'memori', expected curr, memory" in err
