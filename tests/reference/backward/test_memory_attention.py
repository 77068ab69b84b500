"""The whole backwards: as measured, and what it takes and refuses."""

import numpy as np
import pytest

import memory_attention as ma
from finite_differences import check_gradients
from memory_attention.inputs import draw_inputs
from memory_attention.reference import MemoryAttention
from memory_attention.reference.backward import memory_attention_backward, memory_attention_forward

CONFIG = ma.load_config("tiny")


def network_of(batch_first=True, dtype=np.float64):
    network = CONFIG.memory_attention.model_copy(update={"num_layers": 2, "batch_first": batch_first})
    layer = network.layer.model_copy(update={"activation": "gelu"})
    made = MemoryAttention.from_config(network.model_copy(update={"layer": layer}))
    rng = np.random.default_rng(1)
    drawn = {n: (0.5 * rng.standard_normal(p.shape)).astype(dtype) for n, p in made.named_parameters()}
    made.load_parameters({n: p + (".norm" in f".{n}" and n.endswith("weight")) for n, p in drawn.items()})
    return made


def inputs_of(batch_first=True, dtype=np.float64):
    drawn = draw_inputs(CONFIG, memories=2, pointers=2, objects=3, grid=(2, 3))
    arrays = [array.astype(dtype) for array in drawn[:4]]
    if not batch_first:
        arrays = [np.ascontiguousarray(array.swapaxes(0, 1)) for array in arrays]
    return drawn._replace(**dict(zip(drawn._fields, arrays, strict=False)))


def run(network, inputs, seed=2):
    out, cache = memory_attention_forward(network, *inputs)
    d_out = np.random.default_rng(seed).standard_normal(out.shape).astype(out.dtype)
    names = ("curr", "memory", "curr_pos", "memory_pos")
    *d_inputs, gradients = memory_attention_backward(d_out, cache)
    return out, d_out, dict(zip(names, d_inputs, strict=True)) | gradients


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("objects_share_the_frame", [True, False])
def test_the_whole_is_as_measured(batch_first, objects_share_the_frame, unchecked_shapes):
    network, inputs = network_of(batch_first), inputs_of(batch_first)
    if objects_share_the_frame:
        first = np.s_[:, :1] if batch_first else np.s_[:1]
        inputs = inputs._replace(curr=inputs.curr[first].copy(), curr_pos=inputs.curr_pos[first].copy())
    _, d_out, gradients = run(network, inputs)
    arrays = {name: getattr(inputs, name) for name in ("curr", "memory", "curr_pos", "memory_pos")}
    parameters = dict(network.named_parameters())
    check_gradients(lambda: network(*inputs), arrays | parameters, gradients, d_out)


def test_what_was_not_given_has_no_gradient():
    inputs = inputs_of()._replace(curr_pos=None)
    _, _, gradients = run(network_of(), inputs)
    assert gradients["curr_pos"] is None
    assert gradients["memory_pos"].shape == inputs.memory_pos.shape


def test_nothing_is_changed_and_twice_is_the_same():
    network, inputs = network_of(), inputs_of()
    before = [array.copy() for array in (*inputs[:4], *dict(network.named_parameters()).values())]
    first, second = run(network, inputs)[2], run(network, inputs)[2]
    after = [*inputs[:4], *dict(network.named_parameters()).values()]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("given", "expected"), [("float64", "float64"), ("float32", "float32"), ("float16", "float32")]
)
def test_gradients_are_in_float32_or_better(given, expected):
    out, _, gradients = run(network_of(dtype=np.float32), inputs_of(dtype=given))
    assert out.dtype == given
    assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(expected)}


def test_a_frame_may_come_as_a_list_of_one():
    network, inputs = network_of(), inputs_of()
    listed = inputs._replace(curr=[inputs.curr], curr_pos=[inputs.curr_pos])
    plain, wrapped = run(network, inputs)[2], run(network, listed)[2]
    assert all(np.array_equal(plain[name], wrapped[name]) for name in plain)


def test_what_does_not_fit_is_named(unchecked_shapes):
    network, inputs = network_of(), inputs_of()
    _, cache = memory_attention_forward(network, *inputs)
    with pytest.raises(ValueError, match=r"d_out has shape \(6, 16\), expected that of the output, \(6, 3, 16\)"):
        memory_attention_backward(np.ones((6, 16)), cache)
    with pytest.raises(ValueError, match="memory has 5 channels"):
        memory_attention_forward(network, inputs.curr, inputs.memory[..., :5])
