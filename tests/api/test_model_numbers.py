"""What numbers, byte orders, kinds of array and counts a model takes: the same in both backends, and in words."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import memory_attention as ma
from checks import error
from memory_attention.extremes import LARGEST
from memory_attention.inputs import Inputs, draw_inputs
from memory_attention.tolerances import bound

torch = pytest.importorskip("torch", reason="one of the two backends is PyTorch's")
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

BACKENDS = ("reference", "accelerated")
CONFIG = ma.load_config("tiny")
INPUTS = draw_inputs(CONFIG, seed=3, memories=2, pointers=1, objects=2, grid=(2, 3))
NAMES = ("curr", "memory", "curr_pos", "memory_pos")
both = pytest.mark.parametrize("backend", BACKENDS)


def warnings_of(backend: str, inputs: Inputs, dtype: str = "float32", **options: Any) -> list[str]:
    model = ma.load(CONFIG, backend, device="cpu", dtype=dtype, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model(*inputs)
    assert all(issubclass(warning.category, RuntimeWarning) for warning in caught)
    # The line that is blamed is the caller's, not ours.
    assert all(warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught]


def with_value(name: str, value: float, dtype: str = "float64") -> Inputs:
    inputs = Inputs(*(a.astype(dtype) if isinstance(a, np.ndarray) else a for a in INPUTS))
    getattr(inputs, name)[1, 1, 2] = value
    return inputs


# ---------------------------------------------------------------- numbers that a dtype does not hold


@both
@settings(max_examples=12)
@given(
    name=st.sampled_from(NAMES),
    dtype=st.sampled_from(["float16", "bfloat16", "float32"]),
    factor=st.sampled_from([-1.01, 1.01, 30.0]),
)
def test_numbers_beyond_the_dtype_are_named(backend: str, name: str, dtype: str, factor: float) -> None:
    found = warnings_of(backend, with_value(name, factor * LARGEST[dtype]), dtype)
    assert found == [f"{name} has values beyond {LARGEST[dtype]:g}, the largest number of {dtype}"]


def test_the_largest_numbers_are_those_of_pytorch(dtype: str) -> None:
    assert torch.finfo(getattr(torch, dtype)).max == LARGEST[dtype]


@both
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_named(backend: str, value: float) -> None:
    inputs = with_value("memory", value, "float32")
    assert warnings_of(backend, inputs) == ["memory has values that are NaN or infinite"]


@both
def test_every_input_that_is_wrong_is_named(backend: str) -> None:
    inputs = with_value("curr_pos", 1e5)
    inputs.curr[0, 0, 0] = np.nan
    found = warnings_of(backend, inputs, "float16")
    assert [message.split()[0] for message in found] == ["curr", "curr_pos"]


@both
def test_infinities_born_inside_are_said(backend: str) -> None:
    """The largest numbers themselves are held; but the first layer's projections are beyond."""
    inputs = with_value("memory", 0.0, "float32")
    inputs.memory[:] = 0.9 * LARGEST["float32"]
    inputs.memory_pos[:] = 0.9 * LARGEST["float32"]
    assert warnings_of(backend, inputs) == [
        "the result has values that are NaN or infinite, though the inputs have none"
    ]


@both
def test_good_numbers_are_no_word_worth(backend: str) -> None:
    for dtype in LARGEST:
        assert warnings_of(backend, INPUTS, dtype) == []


@both
def test_nobody_looks_where_nobody_wants_to_know(backend: str) -> None:
    assert warnings_of(backend, with_value("curr", np.nan), check_numbers=False) == []


def test_tensors_on_a_gpu_are_looked_at_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking makes the CPU wait. The meta device stands in for a GPU."""
    looks = []
    monkeypatch.setattr("memory_attention.model.warn_of_numbers", lambda *arguments, **_: looks.append(arguments))
    tensors = Inputs(*(torch.from_numpy(a).to("meta") if isinstance(a, np.ndarray) else a for a in INPUTS))
    model = ma.load(CONFIG, "accelerated", device="cpu")
    monkeypatch.setattr(model, "network", lambda curr, *rest: curr)
    assert model(*tensors) is tensors.curr
    assert looks == []
    model.check_numbers = True
    assert model(*tensors) is tensors.curr
    assert len(looks) == 1


class Answers(TorchDispatchMode):
    """Counts what a device is asked for one number: `item`, `bool`, `float`…"""

    asked = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.asked += operation is torch.ops.aten._local_scalar_dense.default
        return operation(*args, **(kwargs or {}))


def test_a_device_is_asked_once_when_all_its_work_is_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    order, plain = [], torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: order.append(tuple(self.shape)) or plain(self))
    model = ma.load(CONFIG, "accelerated", device="cpu", check_numbers=True)
    model.network.module.register_forward_hook(lambda *_: order.append("queued"))
    tensors = Inputs(*(torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in INPUTS))
    with Answers() as answers:
        model(*tensors)
    # Four inputs and the result.
    assert order == ["queued", (5,)]
    assert answers.asked == 0


@pytest.mark.parametrize("narrow", ["float16", "bfloat16", "float32"])
def test_weights_beyond_the_dtype_are_an_error(narrow: str) -> None:
    weights = {name: weight.astype(np.float64) for name, weight in ma.draw_weights(CONFIG).items()}
    weights["memory_attention.norm.weight"][3] = -1.5 * LARGEST[narrow]
    with pytest.raises(ValueError, match=f"memory_attention.norm.weight has values beyond .*{narrow}"):
        ma.load(CONFIG, weights=weights, dtype=narrow)


# ---------------------------------------------------------------- kinds of arrays


def zero_stride(array: np.ndarray) -> np.ndarray:
    return np.broadcast_to(array[:1, :, :], array.shape)


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


class Named(np.ndarray):
    """Somebody's subclass, which multiplies otherwise."""

    def __matmul__(self, other: Any) -> Any:
        raise AssertionError("the subclass was computed with")


KINDS = {
    "big-endian": lambda array: array.astype(">f4"),
    "big-endian double": lambda array: array.astype(">f8"),
    "big-endian half": lambda array: array.astype(">f2"),
    "longdouble": lambda array: array.astype(np.longdouble),
    "read-only": read_only,
    "negative strides": lambda array: array[::-1, :, ::-1].copy()[::-1, :, ::-1],
    "zero strides": zero_stride,
    "subclass": lambda array: array.view(Named),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_array_is_computed_alike(kind: str, dtype: str) -> None:
    """Beside the truth of the same numbers, and nothing of the caller's is changed."""
    inputs = Inputs(*(KINDS[kind](a) if isinstance(a, np.ndarray) else a for a in INPUTS))
    before = [np.array(a) for a in inputs[:4]]
    same = Inputs(*(np.array(a, np.float64) for a in inputs[:4]), *inputs[4:])
    truth = ma.load(CONFIG, "reference", dtype="float64")(*same)
    for backend in BACKENDS:
        result = ma.load(CONFIG, backend, device="cpu", dtype=dtype)(*inputs)
        assert type(result) is np.ndarray
        assert result.dtype == ("float32" if dtype == "bfloat16" else dtype)
        assert error(result, truth) <= bound(dtype)
    for array, kept in zip(inputs[:4], before, strict=True):
        np.testing.assert_array_equal(np.array(array), kept)


def test_a_wide_number_is_rounded_once_in_both_backends() -> None:
    """1 + 2⁻¹¹ + 2⁻⁴⁰ is just above the middle of two float16; rounded to float32 first it would be the middle."""
    inputs = Inputs(*(np.full(a.shape, 1 + 2.0**-11 + 2.0**-40) for a in INPUTS[:4]), *INPUTS[4:])
    steps = [
        ma.load(CONFIG, backend, device="cpu", dtype="float16").trace(
            *inputs[:2], None, *inputs[3:], names=["input"]
        )
        for backend in BACKENDS
    ]
    for step in steps:
        assert (step["input"] == np.float16(1 + 2**-10)).all()


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@both
@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (lambda a: np.ma.masked_array(a, a > 1), TypeError, "memory is MaskedArray, expected an array"),
        (lambda a: np.asmatrix(a[:, 0]), ValueError, "memory has shape .* expected rank 3"),
        (lambda a: a.view([("x", "f4")]), TypeError, "memory has dtype .*, expected a floating dtype"),
        (lambda a: a.astype(complex), TypeError, "memory has dtype complex128, expected a floating dtype"),
        (lambda a: a.astype(object), TypeError, "memory has dtype object, expected a floating dtype"),
        (lambda a: a.astype(">f4"), TypeError, "memory has dtype >f4, expected that of curr, float32"),
        (lambda a: a.tolist(), TypeError, "memory is list, expected an array"),
        (lambda a: torch.from_numpy(a), TypeError, "memory has dtype torch.float32, expected that of curr"),
    ],
)
def test_what_is_no_array_is_refused_alike(backend: str, wrong: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        ma.load(CONFIG, backend, device="cpu")(*INPUTS._replace(memory=wrong(INPUTS.memory)))


# ---------------------------------------------------------------- counts


COUNTS = {
    "torch": lambda n: torch.tensor(n),
    "torch, small": lambda n: torch.tensor(n, dtype=torch.uint8),
    "NumPy": lambda n: np.int16(n),
    "NumPy, no axes": lambda n: np.array(n),
}


@both
@pytest.mark.parametrize("kind", COUNTS)
def test_whole_numbers_of_all_libraries_count(backend: str, kind: str) -> None:
    count, model = COUNTS[kind], ma.load(CONFIG, backend, device="cpu")
    pointers = INPUTS.num_obj_ptr_tokens
    given = INPUTS._replace(num_obj_ptr_tokens=count(pointers), grid=(count(2), count(3)))
    np.testing.assert_array_equal(model(*given), model(*INPUTS))
    rows = model.attention_map(*given, layer=count(0), queries=count(4))
    np.testing.assert_array_equal(rows, model.attention_map(*INPUTS, layer=0, queries=4))
    weights = ma.load(CONFIG, backend, seed=count(5), device="cpu").weights
    assert all((weights[name] == drawn).all() for name, drawn in ma.draw_weights(CONFIG, 5).items())


@both
@pytest.mark.parametrize("wrong", [torch.tensor(2.0), torch.tensor([2]), torch.tensor(True), np.float32(2), "2"])
def test_what_counts_nothing_is_named(backend: str, wrong: Any) -> None:
    model = ma.load(CONFIG, backend, device="cpu")
    with pytest.raises(TypeError, match="num_obj_ptr_tokens is .*, expected a whole number"):
        model(*INPUTS._replace(num_obj_ptr_tokens=wrong))


# ---------------------------------------------------------------- autocast


def test_autocast_brings_dtypes_together_through_a_model_too() -> None:
    """As the module does: memories in bfloat16, the rest in float32, products in bfloat16."""
    model = ma.load(CONFIG, "accelerated", device="cpu")
    curr, memory, curr_pos, memory_pos = (torch.from_numpy(a) for a in INPUTS[:4])
    mixed = (curr, memory.bfloat16(), curr_pos, memory_pos, *INPUTS[4:])
    with pytest.raises(TypeError, match=r"memory has dtype torch.bfloat16, expected that of curr, torch.float32"):
        model(*mixed)
    truth = ma.load(CONFIG, "reference", dtype="float64")(*(np.float64(a) for a in INPUTS[:4]), *INPUTS[4:])
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            through_model, through_module = model(*mixed), model.network.module(*mixed)
        plain = model(curr, memory.bfloat16().float(), *mixed[2:])
    torch.testing.assert_close(through_model, through_module, rtol=0, atol=bound("bfloat16"))
    assert error(through_model.float().numpy(), truth) <= bound("bfloat16")
    # It is autocast's own precision, and not that of float32.
    assert not torch.equal(through_model.float(), plain)
