"""As SAM 2's own predictor compiles it: whole, with sizes that change from frame to frame, and exported."""

import io

import pytest
import torch
from torch import nn

import memory_attention as ma
from memory_attention.accelerated import Attention, MemoryAttention, RoPEAttention

CONFIG = ma.load_config("tiny")
MOST_GRAPHS = 4
"""SAM 2's own module has 3 to 4 over a growing memory."""
GROWING = [(1, 4), (2, 9), (7, 64)]
"""Memories and pointer tokens, from frame to frame."""


@pytest.fixture
def module():
    torch.manual_seed(0)
    return MemoryAttention.from_config(CONFIG.memory_attention).eval()


def draw(cells, memories, pointers, objects, frames):
    frame, seen = (cells, frames, 16), (cells * memories + pointers, objects, 8)
    return *(torch.randn(shape) for shape in (frame, seen, frame, seen)), pointers


def compiled(module):
    """The module compiled whole, and a list that grows with its graphs."""
    graphs = []

    def count(graph, examples):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    return torch.compile(module, fullgraph=True, dynamic=True, backend=count), graphs


def test_a_growing_memory_takes_few_graphs(module):
    call, graphs = compiled(module)
    with torch.no_grad():
        for objects in (1, 2, 3):
            for memories, pointers in GROWING:
                given = draw(16, memories, pointers, objects, objects)
                torch.testing.assert_close(call(*given), module(*given), rtol=1e-4, atol=1e-5)
    assert 0 < len(graphs) <= MOST_GRAPHS


@pytest.mark.parametrize("frame", ["once", "expanded"])
def test_a_frame_that_objects_share_takes_one_graph(frame, module):
    """With 25 tokens, which are not the 4 × 4 of the config: the grid is guessed."""
    call, graphs = compiled(module)
    with torch.no_grad():
        for objects in (2, 3):
            for memories, pointers in GROWING[1:]:
                curr, memory, curr_pos, *rest = draw(25, memories, pointers, objects, 1)
                if frame == "expanded":
                    curr, curr_pos = (tokens.expand(-1, objects, -1) for tokens in (curr, curr_pos))
                given = curr, memory, curr_pos, *rest
                torch.testing.assert_close(call(*given), module(*given), rtol=1e-4, atol=1e-5)
    assert len(graphs) == 1


class Exported(nn.Module):
    """With the number of pointer tokens fixed, as an exporter takes tensors only."""

    def __init__(self, module, pointers=6):
        super().__init__()
        self.module, self.pointers = module, pointers

    def forward(self, *tensors):
        return self.module(*tensors, self.pointers)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("part", ["whole", "rotary attention"])
def test_torchscripts_onnx_exporter_is_refused(part, module):
    if part == "whole":
        exported, given = Exported(module), draw(16, 2, 6, 2, 2)[:4]
    else:
        # As it stands in SAM 2's own layers.
        attention = RoPEAttention(16, 2, kv_in_dim=6, rope_k_repeat=True, feat_sizes=(5, 3)).eval()
        exported = Exported(attention, pointers=0)
        given = torch.randn(2, 15, 16), torch.randn(2, 30, 6), torch.randn(2, 30, 6)
    with (
        torch.no_grad(),
        pytest.raises(RuntimeError, match=r"use torch.onnx.export\(dynamo=True\)"),
    ):
        torch.onnx.export(exported, given, io.BytesIO(), dynamo=False)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_torchscript_trace_takes_other_memories(module):
    """TorchScript alone keeps no number of keys, which ONNX's exporter by it does."""
    exported = Exported(module)
    with torch.no_grad():
        traced = torch.jit.trace(exported, draw(16, 2, 6, 2, 2)[:4], check_trace=False)
        for memories, objects in ((1, 3), (4, 1)):
            given = draw(16, memories, 6, objects, objects)[:4]
            torch.testing.assert_close(traced(*given), exported(*given), rtol=1e-4, atol=1e-5)


def test_what_has_no_rotation_is_not_refused(monkeypatch):
    """Nothing that could go wrong is written down there."""
    monkeypatch.setattr(torch.jit, "is_tracing", lambda: True)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    attention = Attention(16, 2, kv_in_dim=6).eval()
    with torch.no_grad():
        attention(torch.randn(2, 15, 16), torch.randn(2, 30, 6), torch.randn(2, 30, 6))
