"""Bad input gets an error that names the argument, what came and what was expected."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import config as jaxtyping_config

import memory_attention as ma
from memory_attention.inputs import draw_inputs

CONFIG = ma.load_config("tiny")
GOOD = draw_inputs(CONFIG, memories=2, pointers=3, objects=2)


@pytest.fixture(autouse=True)
def as_users_have_it():
    """Without the suite's runtime checking, which would complain first."""
    jaxtyping_config.update("jaxtyping_disable", True)
    yield
    jaxtyping_config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module", params=["reference", "accelerated"])
def model(request):
    return ma.load(CONFIG, request.param, device="cpu")


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
    (changed(grid=(3, 5)), ValueError, ["grid (3, 5) has 15 tokens", "expected 16"]),
    (changed(grid=(-4, -4)), ValueError, ["grid (-4, -4)"]),
    (
        changed(curr=GOOD.curr[:15], curr_pos=GOOD.curr_pos[:15], grid=None),
        ValueError,
        ["15 query tokens", "feat_sizes (4, 4)", "square", "grid=(h, w)"],
    ),
    (
        changed(num_obj_ptr_tokens=5),
        ValueError,
        ["33 rotated keys", "multiple of the 16", "num_obj_ptr_tokens"],
    ),
    (changed(num_obj_ptr_tokens=-1), ValueError, ["num_obj_ptr_tokens is -1", "0 to 38"]),
    (changed(num_obj_ptr_tokens=39), ValueError, ["num_obj_ptr_tokens is 39", "0 to 38"]),
    *(
        (changed(num_obj_ptr_tokens=bad), TypeError, [f"num_obj_ptr_tokens is {bad!r}", "whole number"])
        for bad in ("3", None, [6], 6j, True, np.float32(6))
    ),
    *(
        (changed(grid=bad), TypeError, [f"grid is {bad!r}", "pair of whole numbers"])
        for bad in (4, (4, 4, 1), "44", (None, 4), (4.0, 4.0))
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
def test_bad_arrays(inputs, kind, words, model):
    with pytest.raises(kind) as error:
        model(*inputs)
    for word in words:
        assert word in str(error.value)


@given(data=st.data())
def test_any_wrong_shape_is_refused(data, model):
    """Any one dimension of any one array changed: always one of our errors, which names an argument."""
    name = data.draw(st.sampled_from(["curr", "memory", "curr_pos", "memory_pos"]))
    array = getattr(GOOD, name)
    axis = data.draw(st.integers(0, 2))
    size = data.draw(st.integers(0, 40).filter(lambda n: n != array.shape[axis]))
    shape = list(array.shape)
    shape[axis] = size
    with pytest.raises((ValueError, TypeError), match=r"curr|memory|grid|keys"):
        model(*changed(**{name: np.ones(shape, np.float32)}))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_inputs_that_are_not_finite_get_a_warning(value, model):
    memory = GOOD.memory.copy()
    memory[0, 0, 0] = value
    with (
        np.errstate(all="ignore"),
        pytest.warns(RuntimeWarning, match="memory has values that are NaN or infinite"),
    ):
        model(*changed(memory=memory))


def test_the_front_door_names_what_is_unknown(model):
    with pytest.raises(ValueError, match="backend is 'numpy', expected one of reference, accelerated"):
        ma.load(CONFIG, "numpy")
    with pytest.raises(ValueError, match="dtype is 'int8', expected one of"):
        ma.load(CONFIG, dtype="int8")
    with pytest.raises(ValueError, match="device is 'cuda', expected 'cpu'"):
        ma.load(CONFIG, "reference", device="cuda")
    with pytest.raises(ValueError, match="seed is -1"):
        ma.load(CONFIG, seed=-1)
    with pytest.raises(TypeError, match="weights is list"):
        ma.load(CONFIG, weights=[1])
    with pytest.raises(TypeError, match="config is dict"):
        ma.load({"memory_attention": {}})
    with pytest.raises(TypeError, match="layer is '0', expected a whole number"):
        model.attention_map(*GOOD, layer="0", queries=0)
    with pytest.raises(TypeError, match="queries is 'first'"):
        model.attention_map(*GOOD, layer=0, queries="first")
    with pytest.raises(ValueError, match="device is 'gpu0'"):
        ma.load(CONFIG, "accelerated", device="gpu0")
    with pytest.raises(ValueError, match="layer is 1, expected -1 to 0"):
        model.attention_map(*GOOD, layer=1, queries=0)
    with pytest.raises(ValueError, match="kind is 'both', expected 'self' or 'cross'"):
        model.attention_map(*GOOD, layer=0, kind="both", queries=0)
    with pytest.raises(ValueError, match="queries has token 16, expected 0 to 15"):
        model.attention_map(*GOOD, layer=0, queries=[3, 16])
    with pytest.raises(TypeError, match="queries is 1.5"):
        model.attention_map(*GOOD, layer=0, queries=1.5)


def test_cuda_asked_for_and_absent(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="device is 'cuda', but PyTorch sees no CUDA device"):
        ma.load(CONFIG, "accelerated", device="cuda")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"embedding_dim": 16, "num_heads": 3}, "num_heads 3 does not divide the 16 channels"),
        ({"embedding_dim": 16, "num_heads": 0}, "num_heads is 0, expected at least 1"),
        ({"embedding_dim": 16, "num_heads": 8}, "head dim 2 is not divisible by 4"),
        ({"embedding_dim": 16, "num_heads": 1, "downsample_rate": 3}, "not divisible by downsample_rate 3"),
    ],
)
@pytest.mark.parametrize("package", ["reference", "accelerated"])
def test_constructors(package, arguments, words):
    with pytest.raises(ValueError, match=words):
        getattr(ma, package).RoPEAttention(**arguments)


@pytest.mark.parametrize("package", ["reference", "accelerated"])
def test_layers_called_by_themselves(package):
    """What only a layer can see: keys that need rope_k_repeat, an encoding a flag asks for, an activation."""
    kinds = getattr(ma, package)
    x = np.ones((1, 4, 8), np.float32)
    keys = np.ones((1, 8, 8), np.float32)
    if package == "accelerated":
        import torch

        x, keys = torch.from_numpy(x), torch.from_numpy(keys)
    attention = kinds.RoPEAttention(embedding_dim=8, num_heads=1)
    with pytest.raises(ValueError, match="8 rotated keys for 4 query tokens need rope_k_repeat"):
        attention(x, keys, keys)
    more = (8, 16, 0.0, True, True, True, attention)
    layer = kinds.MemoryAttentionLayer("relu", attention, *more)
    with pytest.raises(ValueError, match="curr_pos is None, expected an encoding because pos_enc_at_attn is set"):
        layer(x, x)
    with pytest.raises(ValueError, match="activation is 'swish', expected one of relu, gelu, glu"):
        kinds.MemoryAttentionLayer("swish", attention, *more)


@pytest.mark.parametrize(
    ("missing", "call", "extra"),
    [
        ("torch", "import memory_attention as ma; ma.load('tiny', 'accelerated')", "accelerated"),
        ("matplotlib", "import memory_attention.pictures.attention", "notebooks"),
        (
            "skimage",
            "from memory_attention.pictures.photographs import load_photograph as f; f('coffee')",
            "notebooks",
        ),
    ],
)
def test_a_missing_dependency_names_the_extra(missing, call, extra):
    # A process of its own: what was imported before would be found.
    code = f"import sys; sys.modules[{missing!r}] = None; {call}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last_line = ran.stderr.strip().splitlines()[-1]
    assert last_line.startswith("ModuleNotFoundError")
    assert f"in a clone of this project type: pip install '.[{extra}]'" in last_line
