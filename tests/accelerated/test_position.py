"""Rotation takes any layout in memory, and tables are made where float64 is: `meta` stands in for MPS."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import memory_attention as ma
from cases import drawn, seeds
from memory_attention import accelerated
from memory_attention.accelerated import position
from memory_attention.accelerated.position import rotary_table, rotate

CONFIG = ma.load_config("tiny")
LACKING = torch.device("meta")


class WithoutFloat64(TorchDispatchMode):
    """No operation may give float64 on the device that lacks it; what comes back from it to the CPU is zero."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default and kwargs.get("device") == torch.device("cpu"):
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype", args[0].dtype))
        result = func(*args, **kwargs)
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.device == LACKING and tensor.dtype == torch.float64:
                raise TypeError(f"{func} gave float64 on a device that lacks it")
        return result


def test_the_device_that_lacks_float64_says_so():
    with WithoutFloat64(), pytest.raises(TypeError, match="lacks it"):
        torch.zeros(2, device=LACKING).double()


@pytest.mark.parametrize("working", [torch.float32, torch.bfloat16])
def test_tables_are_made_on_the_cpu_and_moved(working):
    with WithoutFloat64():
        table = position.rotary_table(3, 5, 8, 100.0, LACKING, working)
        assert (table.device, table.dtype, table.shape) == (LACKING, torch.float32, (15, 4, 2))
        assert position.sine_encoding_2d(3, 5, 8, LACKING).dtype == torch.float64
        assert position.sine_encoding_1d(torch.ones(3, device="cpu"), 8).dtype == torch.float64


@pytest.mark.parametrize("working", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("projected", [True, False])
@pytest.mark.parametrize("learning", [True, False])
def test_a_frame_is_followed_without_float64(working, projected, learning):
    settings = CONFIG.memory_bank.model_copy(update={"proj_tpos_enc_in_obj_ptrs": projected})
    config = CONFIG.model_copy(update={"memory_bank": settings})
    bank = accelerated.MemoryBank(config, ma.draw_weights(config)).to(LACKING, working)
    module = accelerated.MemoryAttention.from_config(config.memory_attention).to(LACKING, working).eval()
    with WithoutFloat64(), torch.set_grad_enabled(learning):
        for frame in (0, 1, 2):
            memory, pointer = torch.zeros(2, 8, 3, 5, device=LACKING), torch.zeros(2, 16, device=LACKING)
            bank.add(frame, memory.to(working), pointer.to(working), conditioning=frame == 0)
        features = torch.zeros(15, 2, 16, device=LACKING, dtype=working)
        seen = bank.tokens(3, 9)
        assert {(t.device, t.dtype) for t in (seen.memory, seen.memory_pos)} == {(LACKING, working)}
        result = bank.attend(module, features, features, 3, 9, grid=(3, 5))
    assert (result.device, result.dtype, result.shape) == (LACKING, working, (15, 2, 16))


def test_where_float64_is_computed():
    places = {None: "cpu", "cpu": "cpu", "cuda:1": "cuda:1", "mps": "cpu", torch.device("xpu", 0): "cpu"}
    assert {given: str(position.float64_device(given)) for given in places} == places


@given(seed=seeds, layout=st.permutations(range(4)), offset=st.integers(0, 1), padding=st.integers(0, 1))
def test_rotation_takes_any_layout(seed, layout, offset, padding):
    """Also those whose pairs are not pairs in memory."""
    sizes = np.array([2, 3, 6, 8])[layout]
    stored = drawn(seed, *sizes[:-1], int(sizes[-1]) + offset + padding)
    x = stored[..., offset : offset + int(sizes[-1])].permute(*np.argsort(layout).tolist())
    table = rotary_table(2, 3, 8, 100.0, "cpu", torch.float64)
    assert torch.equal(rotate(x, table), rotate(x.contiguous(), table))
    # The keys go the same way, however the module in place of k_proj lays them out.
    out = torch.empty(x.shape, dtype=x.dtype)
    rotate(x, table, out=out)
    assert torch.equal(out, rotate(x, table))
