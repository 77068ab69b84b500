"""Bad input gets an error that names the argument, what came and what was expected."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import memory_attention as ma
from memory_attention.inputs import draw_inputs
from memory_attention.rules.contract import placed_tokens

pytestmark = pytest.mark.usefixtures("unchecked_shapes")
CONFIG = ma.load_config("tiny")
GOOD = draw_inputs(CONFIG, memories=2, pointers=3, objects=2)


def changed(**changes):
    return GOOD._replace(**changes)


SHORT, WIDE = GOOD.curr[:, :1], np.concatenate([GOOD.curr, GOOD.curr], axis=-1)
BAD = [
    (changed(curr=GOOD.curr[0]), ValueError, ["curr has shape (2, 16)", "expected rank 3", "[N,B,C=16]"]),
    (changed(memory=GOOD.memory[None]), ValueError, ["memory has shape", "rank 3", "[M,B,C_m=8]"]),
    (changed(memory=GOOD.memory[:, :1], memory_pos=None), ValueError, ["memory has batch 1", "batch of curr, 2"]),
    (changed(curr=WIDE, curr_pos=None), ValueError, ["curr has 32 channels", "expected 16"]),
    (changed(memory=GOOD.curr, memory_pos=None), ValueError, ["memory has 16 channels", "expected 8"]),
    (changed(memory=GOOD.memory[:0], memory_pos=None), ValueError, ["memory is empty", "(0, 2, 8)"]),
    (changed(curr=GOOD.curr[:0], curr_pos=None), ValueError, ["curr is empty"]),
    (changed(memory=None), TypeError, ["memory is None"]),
    (changed(memory="memory"), TypeError, ["memory is str"]),
    (changed(num_obj_ptr_tokens=-1), ValueError, ["num_obj_ptr_tokens is -1", "0 to 38"]),
    (changed(num_obj_ptr_tokens=39), ValueError, ["num_obj_ptr_tokens is 39", "0 to 38"]),
    *(
        (changed(num_obj_ptr_tokens=bad), TypeError, [f"num_obj_ptr_tokens is {bad!r}", "whole number"])
        for bad in ("3", None, [6], 6j, True, np.float32(6))
    ),
    (changed(memory=np.ma.masked_array(GOOD.memory)), TypeError, ["memory is MaskedArray"]),
    (changed(num_obj_ptr_tokens=6.0), TypeError, ["num_obj_ptr_tokens is 6.0", "whole number"]),
    (changed(curr_pos=SHORT), ValueError, ["curr_pos has shape (16, 1, 16)", "(16, 2, 16)"]),
    (changed(memory_pos=GOOD.memory[1:]), ValueError, ["memory_pos has shape (37, 2, 8)", "(38, 2, 8)"]),
    (changed(memory_pos=None), ValueError, ["memory_pos is None", "pos_enc_at_cross_attn_keys"]),
    (changed(curr=GOOD.curr.astype(int)), TypeError, ["curr has dtype int64", "floating"]),
    (changed(memory=GOOD.memory.astype(complex)), TypeError, ["memory has dtype complex128", "floating"]),
    (changed(curr=GOOD.curr.astype(object)), TypeError, ["curr has dtype object", "floating"]),
    (changed(memory=GOOD.memory.astype(float)), TypeError, ["memory has dtype float64", "that of curr, float32"]),
    (changed(curr=[GOOD.curr, GOOD.curr]), ValueError, ["curr is a list of 2", "list of one"]),
]


@pytest.mark.parametrize(("inputs", "kind", "words"), BAD)
def test_bad_arrays(inputs, kind, words, tiny_model):
    with pytest.raises(kind) as error:
        tiny_model(*inputs)
    for word in words:
        assert word in str(error.value)


@given(data=st.data())
def test_any_wrong_shape_is_refused(data, tiny_model):
    """Any one dimension of any one array changed: always one of our errors, which names an argument."""
    name = data.draw(st.sampled_from(["curr", "memory", "curr_pos", "memory_pos"]))
    array = getattr(GOOD, name)
    axis = data.draw(st.integers(0, 2))
    size = data.draw(st.integers(0, 40).filter(lambda n: n != array.shape[axis]))
    shape = list(array.shape)
    shape[axis] = size
    with pytest.raises((ValueError, TypeError), match=r"curr|memory|grid|keys"):
        tiny_model(*changed(**{name: np.ones(shape, np.float32)}))


@pytest.mark.parametrize("package", ["reference", "accelerated"])
def test_layers_called_by_themselves(package):
    """What only a layer can see: an encoding a flag asks for, an activation."""
    kinds = getattr(ma, package)
    x = np.ones((1, 4, 8), np.float32)
    if package == "accelerated":
        import torch

        x = torch.from_numpy(x)
    attention = kinds.RoPEAttention(embedding_dim=8, num_heads=1)
    more = (8, 16, 0.0, True, True, True, attention)
    layer = kinds.MemoryAttentionLayer("relu", attention, *more)
    with pytest.raises(ValueError, match="curr_pos is None, expected an encoding because pos_enc_at_attn is set"):
        layer(x, x)
    with pytest.raises(ValueError, match="activation is 'swish', expected one of relu, gelu, glu"):
        kinds.MemoryAttentionLayer("swish", attention, *more)


@pytest.mark.parametrize("count", [int, np.uint8, np.int64, np.array])
def test_the_placed_tokens_are_counted_in_ints_of_python(count):
    """A byte of NumPy less than 256 would overflow in the count of a real memory."""
    placed = placed_tokens(count(4), 4096 + 4)
    assert (placed, type(placed)) == (4096, int)
