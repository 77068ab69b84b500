"""Compilers, exporters, tracers and transforms of PyTorch see the whole computation."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import memory_attention as ma
from memory_attention.accelerated import RoPEAttention, choice
from memory_attention.inputs import draw_inputs

CONFIG = ma.load_config("tiny")


@pytest.fixture
def module():
    return ma.load(CONFIG, "accelerated", device="cpu").network.module


def inputs(memories=2):
    drawn = draw_inputs(CONFIG, memories=memories, pointers=3, objects=2)
    return [torch.from_numpy(array) for array in drawn[:4]]


def test_compiles_as_one_graph(module):
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(*inputs(), 6), module(*inputs(), 6))


def test_exports_with_any_number_of_memories(module):
    frames = torch.export.Dim("frames", min=2, max=64)
    tokens = 16 * frames + 6
    program = torch.export.export(
        module,
        tuple(inputs()),
        {"num_obj_ptr_tokens": 6},
        dynamic_shapes={
            "curr": None,
            "memory": {0: tokens},
            "curr_pos": None,
            "memory_pos": {0: tokens},
            "num_obj_ptr_tokens": None,
        },
    )
    tensors = inputs(memories=5)
    with torch.no_grad():
        result = program.module()(*tensors, num_obj_ptr_tokens=6)
        torch.testing.assert_close(result, module(*tensors, 6))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_traced_module_is_no_constant(monkeypatch):
    """What other threads compute would stand in the trace as a constant."""
    monkeypatch.setattr(choice, "FEW_LOGITS", 0)
    config = ma.load_config("sam2.1_hiera_t")
    module = ma.load(config, "accelerated", device="cpu").network.module
    first, second = (
        [torch.from_numpy(array) for array in draw_inputs(config, seed, 2, pointers=0, grid=(4, 4))[:4]]
        for seed in (0, 1)
    )
    with torch.no_grad():
        traced = torch.jit.trace(module, first, check_trace=False)
        torch.testing.assert_close(traced(*second), module(*second), rtol=1e-4, atol=1e-5)


def test_an_export_takes_any_number_of_objects(module):
    objects = torch.export.Dim("objects", min=2, max=128)

    def frame(count):
        arrays = draw_inputs(CONFIG, objects=count, pointers=0)[:4]
        return tuple(torch.from_numpy(array) for array in arrays)

    with torch.no_grad():
        program = torch.export.export(module, frame(2), dynamic_shapes=[{1: objects}] * 4).module()
        torch.testing.assert_close(program(*frame(70)), module(*frame(70)), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_transforms_go_through(monkeypatch):
    """Derivatives forwards, vmap and make_fx, against differences, a loop and another input."""
    monkeypatch.setattr(choice, "FEW_LOGITS", 0)
    torch.manual_seed(0)
    attention = RoPEAttention(16, 2, kv_in_dim=2, rope_k_repeat=True, feat_sizes=(4, 4)).double().eval()
    x, memory, step = (torch.randn(shape).double() for shape in ((2, 16, 16), (2, 32, 2), (2, 32, 2)))

    def call(memory, x=x):
        return attention(x, memory, memory)

    with torch.no_grad():
        value, slope = torch.func.jvp(call, (memory,), (step,))
        torch.testing.assert_close(value, call(memory))
        difference = (call(memory + 1e-5 * step) - call(memory - 1e-5 * step)) / 2e-5
        torch.testing.assert_close(slope, difference, rtol=1e-6, atol=1e-6)
        mapped = torch.func.vmap(lambda m, x: call(m[None], x[None])[0])(memory, x)
        torch.testing.assert_close(mapped, call(memory))
        graph = make_fx(lambda memory: call(memory))(memory)
        torch.testing.assert_close(graph(memory + step), call(memory + step))


def test_fake_tensors_are_not_kept():
    inputs = draw_inputs(CONFIG, grid=(3, 7))
    model = ma.load(CONFIG, "accelerated", device="cpu")
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        fakes = [mode.from_tensor(torch.from_numpy(array)) for array in inputs[:4]]
        assert model.network.module(*fakes, inputs.num_obj_ptr_tokens, (3, 7)).shape == inputs.curr.shape
    assert np.isfinite(model(*inputs)).all()


def test_a_trace_of_an_expanded_frame_takes_other_frames(module):
    curr, memory, curr_pos, memory_pos = (
        torch.from_numpy(array) for array in draw_inputs(CONFIG, objects=2, pointers=0)[:4]
    )
    expanded = curr[:, :1].expand(-1, 2, -1), memory, curr_pos[:, :1].expand(-1, 2, -1), memory_pos
    with torch.no_grad():
        program = torch.export.export(module, expanded).module()
        given = curr, memory, curr_pos, memory_pos
        torch.testing.assert_close(program(*given), module(*given), rtol=1e-4, atol=1e-5)
