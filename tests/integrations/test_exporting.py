"""A file is there when it was verified, and not before."""

import sys

import onnxruntime
import pytest

import memory_attention as ma
from checks import error
from exports import CONFIG, GRID, WEIGHTS, drawn, network, truth
from memory_attention.integrations.exporting import export
from memory_attention.integrations.form import Form
from memory_attention.integrations.onnx.backend import FileBackend
from memory_attention.tolerances import bound

FORMS = [
    Form(18, "float32", None),
    Form(18, "float16", GRID),
    Form(23, "float32", GRID),
    Form(23, "float16", None),
    Form(18, "float64"),
    Form(23, "float32", GRID, parts=3),
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_what_is_written_was_verified_at_three_sizes(form, tmp_path):
    differences = []
    export(tmp_path / "memory.onnx", CONFIG, WEIGHTS, form, seed=3, report=differences.append)
    assert len({difference.step for difference in differences}) == 3
    assert all(0 < difference.relative_error <= difference.bound for difference in differences)
    network = FileBackend(tmp_path / "memory.onnx").build(CONFIG, WEIGHTS, None, form.dtype)
    inputs = drawn(4, 7, 2, form.grid or (2, 9))
    assert error(network(*inputs, None), truth(inputs)) <= bound(form.dtype, 20)


def test_a_network_without_repetition_and_batch_first(tmp_path):
    attention = CONFIG.memory_attention.layer.cross_attention.model_copy(update={"rope_k_repeat": False})
    differences = []
    export(
        tmp_path / "memory.onnx",
        network(batch_first=False, cross_attention=attention),
        WEIGHTS,
        Form(),
        report=differences.append,
    )
    assert [difference.shape[0] for difference in differences] == [1, 1, 2]


def test_a_wrong_graph_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("memory_attention.integrations.onnx.network.EPS", 0.1)
    path, differences = tmp_path / "memory.onnx", []
    path.write_text("what was there")
    with pytest.raises(ValueError, match="the onnx file is past its bound at 3 of the sizes: nothing was written"):
        export(path, CONFIG, WEIGHTS, Form(), report=differences.append)
    assert len(differences) == 3
    assert path.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [path]


def test_a_result_that_is_no_number_is_past_every_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("memory_attention.integrations.onnx.network.EPS", float("nan"))
    with pytest.raises(ValueError, match="past its bound at 3"):
        export(tmp_path / "memory.onnx", CONFIG, WEIGHTS, Form())
    assert not list(tmp_path.iterdir())


def test_an_old_onnxruntime_is_known_before_the_work(tmp_path, monkeypatch):
    """As its older versions answer."""

    def refuse(*_, **__):
        raise RuntimeError("No Op registered for Attention with domain_version of 23")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    message = f"onnxruntime {onnxruntime.__version__} cannot run this graph .No Op registered for Attention"
    with pytest.raises(ValueError, match=message):
        # Weights of nothing: whoever worked would miss them.
        export(tmp_path / "memory.onnx", CONFIG, {}, Form())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_known_before_the_work(package, tmp_path, monkeypatch):
    for name in list(sys.modules):
        if name.startswith("memory_attention.integrations.onnx") or name.split(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"the memory attention in ONNX needs {package}; .* pip install '\.\[onnx\]'"
    with pytest.raises(ModuleNotFoundError, match=message):
        export(tmp_path / "memory.onnx", CONFIG, {}, Form())


@pytest.mark.parametrize(
    ("kind", "form", "name", "message"),
    [
        ("tflite", Form(), "a.onnx", "format is 'tflite', expected onnx or pt2"),
        ("pt2", Form(), "a.pt2", "grid is free, which a program of format pt2 cannot be: expected ROWS,COLUMNS"),
        ("pt2", Form(grid=GRID, parts=2), "a.pt2", "parts is 2, expected 1 for format pt2"),
        ("pt2", Form(grid=GRID), "a.onnx", r"output: .*a\.onnx does not end in \.pt2"),
    ],
)
def test_what_cannot_be_had(kind, form, name, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export(tmp_path / name, CONFIG, {}, form, kind)


def test_an_output_that_cannot_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="output: no such folder"):
        export(tmp_path / "nowhere" / "memory.onnx", CONFIG, {}, Form())


# PyTorch 2.9 says so of the program that it reads itself.
@pytest.mark.filterwarnings("ignore:The given buffer is not writable")
def test_a_program_of_torch(tmp_path):
    """Exported once, of one layer as it takes long: other lengths than those that were traced, batch-first."""
    from memory_attention.integrations.pt2 import read_program

    path, differences = tmp_path / "memory.pt2", []
    config = network(batch_first=False, num_layers=1)
    weights = {name: WEIGHTS[name] for name in ma.parameter_shapes(config)}
    export(path, config, weights, Form(23, "float32", GRID), "pt2", report=differences.append)
    assert len(differences) == 3
    assert all(0 < difference.relative_error <= difference.bound for difference in differences)
    run = read_program(path, config, "float32")
    for lengths in ((1, 0, 1), (6, 11, 4), (1, 1, 7)):
        inputs = drawn(*lengths, config=config)
        assert error(run(inputs), truth(inputs, config, weights)) <= bound("float32", 20)
