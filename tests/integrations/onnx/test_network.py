"""The graph itself: its operators, its inputs, its steps."""

import functools

import onnx
import pytest

import memory_attention as ma
from checks import error
from exports import CONFIG, GRID, WEIGHTS, drawn, network, truth
from memory_attention.integrations.form import Form
from memory_attention.integrations.onnx.file import build_model
from memory_attention.integrations.onnx.inputs import grid_input, split_inputs
from memory_attention.integrations.onnx.runtime import Session
from memory_attention.tolerances import bound

FORMS = [Form(opset, "float32", grid) for opset in (18, 23) for grid in (GRID, None)]
ATTENTIONS = 2 * CONFIG.memory_attention.num_layers


def operators(form):
    return [node.op_type for node in build_model(CONFIG, WEIGHTS, form).graph.node]


@functools.cache
def session(form, config=CONFIG):
    return Session(build_model(config, WEIGHTS, form).SerializeToString())


def result(form, inputs, config=CONFIG):
    """What the graph gives in float32, run by hand."""
    net = config.memory_attention
    feed = split_inputs(inputs, net) | grid_input(inputs, net, form.grid)
    feed = {name: array if name == "grid" else array.astype("float32") for name, array in feed.items()}
    return session(form, config).run(feed)["out"]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_graph_is_sound(form):
    onnx.checker.check_model(build_model(CONFIG, WEIGHTS, form), full_check=True)


def test_operators_of_opset_23_and_none_of_them_in_18():
    new, old = operators(FORMS[2]), operators(FORMS[0])
    assert new.count("Attention") == ATTENTIONS
    assert new.count("RotaryEmbedding") == 2 * ATTENTIONS
    assert "Softmax" not in new
    assert old.count("Softmax") == ATTENTIONS
    assert not {"Attention", "RotaryEmbedding"} & set(old)


def test_softmax_and_rotation_are_in_float32_at_least():
    graph = build_model(CONFIG, WEIGHTS, Form(23, "float16", GRID)).graph
    kinds = {constant.name: constant.data_type for constant in graph.initializer}
    tables = {name for node in graph.node if node.op_type == "Gather" for name in node.input if name in kinds}
    assert {kinds[name] for name in tables} == {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    attentions = [node for node in graph.node if node.op_type == "Attention"]
    assert all(node.attribute[0].name == "softmax_precision" for node in attentions)
    assert {node.attribute[0].i for node in attentions} == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_nothing_is_sliced(form):
    assert "Slice" not in operators(form)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("grid", [GRID, None])
def test_names_and_dims(grid, batch_first):
    graph = build_model(network(batch_first), WEIGHTS, Form(23, "float32", grid)).graph
    tokens = 15 if grid else "tokens"
    expected = {
        "curr": (tokens, "objects_or_1", 24),
        "curr_pos": (tokens, "objects_or_1", 24),
        "memory": ("memory_tokens", "objects", 6),
        "memory_pos": ("memory_tokens", "objects", 6),
        "pointers": ("pointer_tokens", "objects", 6),
        "pointers_pos": ("pointer_tokens", "objects", 6),
        "out": (tokens, "objects", 24),
    }
    if not batch_first:
        expected = {name: (batch, count, width) for name, (count, batch, width) in expected.items()}
    expected |= {} if grid else {"grid": (2,)}
    found = {
        value.name: tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.output)
    }
    assert found == expected


def test_values_are_called_as_the_steps_are():
    steps = ma.load(CONFIG, "reference", WEIGHTS).trace(*drawn(2, 4, 1))
    graph = build_model(CONFIG, WEIGHTS, Form()).graph
    assert set(steps) <= {name for node in graph.node for name in node.output}


def test_parameters_are_called_as_sam_2_has_them():
    graph = build_model(CONFIG, WEIGHTS, Form()).graph
    assert {constant.name for constant in graph.initializer} >= set(WEIGHTS)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize(("frames", "pointer_tokens", "objects"), [(1, 0, 1), (4, 3, 2), (0, 5, 3), (2, 1, 5)])
def test_any_number_of_frames_pointers_and_objects(form, frames, pointer_tokens, objects):
    inputs = drawn(frames, pointer_tokens, objects)
    assert error(result(form, inputs), truth(inputs)) <= bound("float32", 20)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_objects_may_share_a_frame(form):
    inputs = drawn(2, 3, 4, shared=True)
    assert inputs.curr.shape[1] == 1
    assert error(result(form, inputs), truth(inputs)) <= bound("float32", 20)


@pytest.mark.parametrize("opset", [18, 23])
def test_queries_in_parts_give_the_same(opset):
    form = Form(opset, "float32", GRID, parts=4)
    assert operators(form).count("Attention" if opset == 23 else "Softmax") == 4 * ATTENTIONS
    inputs = drawn(2, 3, 2)
    assert error(result(form, inputs), truth(inputs)) <= bound("float32", 20)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize(("frames", "pointer_tokens"), [(2, 3), (1, 1)])
def test_tokens_that_are_no_whole_frames_do_not_run(form, frames, pointer_tokens):
    """Of one frame and one pointer a place alone is left, which would fit any number of tokens."""
    inputs = drawn(frames, pointer_tokens, 1)
    cut = inputs._replace(memory=inputs.memory[1:], memory_pos=inputs.memory_pos[1:])
    feed = split_inputs(cut, CONFIG.memory_attention) | grid_input(inputs, CONFIG.memory_attention, form.grid)
    feed = {name: array if name == "grid" else array.astype("float32") for name, array in feed.items()}
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        session(form).run(feed)


def test_without_repetition_two_frames_do_not_run():
    attention = CONFIG.memory_attention.layer.cross_attention.model_copy(update={"rope_k_repeat": False})
    config, form = network(cross_attention=attention), Form(23, "float32", GRID)
    one, two = drawn(1, 3, 1), drawn(2, 3, 1)
    assert error(result(form, one, config), truth(one, config)) <= bound("float32", 20)
    feed = {name: array.astype("float32") for name, array in split_inputs(two, config.memory_attention).items()}
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        session(form, config).run(feed)


def test_weights_beyond_what_a_file_holds(monkeypatch):
    monkeypatch.setattr("memory_attention.integrations.onnx.file.LARGEST", 10_000)
    with pytest.raises(ValueError, match=r"the weights take .* GB in float32, more than an ONNX file's 2 GB"):
        build_model(CONFIG, WEIGHTS, Form())
