"""`memory-attention export`, as its users run it."""

import re

import pytest

import memory_attention as ma
from checks import error
from command_line import check_refused, run
from memory_attention.inputs import draw_inputs
from memory_attention.integrations.onnx.backend import FileBackend
from memory_attention.tolerances import bound


@pytest.mark.parametrize(
    ("words", "numbers", "grid"),
    [
        ((), "float32", None),
        (("--grid", "free", "--opset", 18), "float32", (5, 2)),
        (("--grid", "6,3", "--dtype", "float16", "--parts", 3), "float16", (6, 3)),
    ],
)
def test_a_file_for_other_programs(capfd, tmp_path, monkeypatch, words, numbers, grid):
    path, config = tmp_path / "memory.onnx", ma.load_config("tiny")
    status, out, err = run(capfd, "export", "--config", "tiny", "--seed", 7, "--output", path, *words)
    assert (status, err) == (0, "")
    assert len(re.findall(r"│ +ok │", out)) == 3
    assert f"verified against the reference in float64 → {path}" in out.replace("\n", "")
    monkeypatch.setattr("memory_attention.backends.finding._registered", {"file": FileBackend(path)})
    inputs = draw_inputs(config, memories=3, objects=2, grid=grid)
    weights = ma.draw_weights(config, 7)
    truth = ma.load(config, "reference", weights, dtype="float64")(*inputs)
    assert error(ma.load(config, "file", weights, dtype=numbers)(*inputs), truth) <= bound(numbers, 20)


def test_a_wrong_graph(capfd, tmp_path, monkeypatch):
    """The table says by how much, the status that there is no file."""
    monkeypatch.setattr("memory_attention.integrations.onnx.network.EPS", 0.1)
    status, out, err = run(capfd, "export", "--config", "tiny", "--output", tmp_path / "memory.onnx")
    assert status == 2
    assert out.count("PAST") == 3
    assert "past its bound at 3 of the sizes: nothing was written" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("grid is '3', expected ROWS,COLUMNS", ("--grid", 3)),
        ("grid is '0,4', expected at least one row", ("--grid", "0,4")),
        ("opset is 20, expected 18 or 23", ("--opset", 20)),
        ("dtype is 'bfloat16', expected one of float32", ("--dtype", "bfloat16")),
        ("format is 'tflite', expected onnx or pt2", ("--format", "tflite")),
        ("parts is 17, expected a fixed grid with at least so many tokens", ("--parts", 17)),
        ("no such file", ("--weights", "nowhere.pt")),
    ],
)
def test_refusals(capfd, tmp_path, message, words):
    check_refused(capfd, message, "export", "--config", "tiny", "--output", tmp_path / "memory.onnx", *words)
    assert not list(tmp_path.iterdir())


def test_an_output_that_is_read_as_well(capfd, tmp_path):
    path = tmp_path / "weights.npz"
    path.write_bytes(b"the weights")
    check_refused(capfd, "is read as well", "export", "--config", "tiny", "--weights", path, "--output", path)
    check_refused(capfd, "no such folder", "export", "--output", tmp_path / "nowhere" / "memory.onnx")
    assert path.read_bytes() == b"the weights"


def test_the_exported_network_is_a_backend_of_the_other_commands(capfd):
    status, out, _ = run(capfd, "compare", "--config", "tiny", "--against", "onnx", "--dtype", "float32")
    assert status == 0
    assert "25 of 25 steps inside their bounds" in out
