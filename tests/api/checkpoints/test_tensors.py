"""Every value becomes an array of our own, or its kind is named."""

import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

import memory_attention as ma
from checkpoint_forms import CONFIG, NAME, TENSORS, WEIGHTS, WRITERS, check_one_clear_line, same
from memory_attention.checkpoints.files import read_checkpoint


@pytest.mark.parametrize("form", ["zip", "safetensors"])
@pytest.mark.parametrize(
    ("held_in", "words"),
    [
        (torch.float8_e4m3fn, "dtype float8_e4m3fn, .*bfloat16 or float32"),
        (torch.float8_e5m2, "dtype float8_e5m2, .*bfloat16 or float32"),
        (torch.int8, "dtype (int8|I8), .*"),
        (torch.uint8, "dtype (uint8|U8), .*"),
        (torch.bool, "dtype (bool|BOOL), expected a floating dtype"),
        (torch.complex64, "dtype (complex64|C64), expected a floating dtype"),
    ],
)
def test_a_dtype_that_holds_no_weights_is_named(form, held_in, words, tmp_path):
    WRITERS[form](TENSORS | {NAME: torch.ones(32, 16).to(held_in)}, tmp_path / "a")
    with pytest.raises(ValueError, match=f"linear1.weight has {words}"):
        ma.read_weights(tmp_path / "a", CONFIG)


WEIGHT = TENSORS[NAME]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.empty(32, 16, device="meta"), "meta device"),
        (WEIGHT.to(torch.int8), "dtype int8.*dequantised"),
        (WEIGHT.numpy().astype(str), "dtype str.*expected a floating dtype"),
        (WEIGHT.numpy().astype(object), "dtype object, expected a floating dtype"),
        (None, "is NoneType, expected a floating tensor"),
        (WEIGHT.tolist(), "is list, expected a floating tensor"),
        (torch.nn.Linear(2, 2), "is Linear, expected a floating tensor"),
        (torch.ones(2, 2**40, device="meta"), "shape"),
        (
            torch.sparse_coo_tensor(torch.zeros(2, 1).long(), torch.ones(1), (2**40, 16), check_invariants=True),
            "shape",
        ),
    ],
)
def test_what_has_no_values_to_take_is_named(value, words):
    with pytest.raises(ValueError, match=f"weights: {NAME} (is|has) .*{words}|{words}"):
        ma.read_weights(WEIGHTS | {NAME: value}, CONFIG)


@pytest.mark.filterwarnings("ignore:.*quantize")
def test_a_quantised_tensor_is_named():
    quantised = torch.quantize_per_tensor(WEIGHT, 0.1, 3, torch.qint8)
    with pytest.raises(ValueError, match="linear1.weight has dtype qint8.*dequantised"):
        ma.read_weights(WEIGHTS | {NAME: quantised}, CONFIG)


@pytest.mark.parametrize(
    "hold",
    [
        lambda weight, folder: torch.nn.Parameter(torch.from_numpy(weight)),
        lambda weight, folder: torch.from_numpy(weight.T.copy()).T,
        lambda weight, folder: torch.from_numpy(weight).to_sparse(),
        lambda weight, folder: torch.from_numpy(weight.astype(np.float64)),
        lambda weight, folder: weight.astype(">f4"),
        lambda weight, folder: weight.astype(">f8"),
        lambda weight, folder: weight.astype(np.longdouble),
        lambda weight, folder: np.asfortranarray(weight),
        lambda weight, folder: weight.view(np.matrix),
        lambda weight, folder: _memory_map(weight, folder / "map"),
    ],
)
def test_a_mapping_may_hold_its_values_in_any_way(hold, tmp_path):
    """And what is read is a plain array of our own: the caller's values may change afterwards."""
    weight = WEIGHTS[NAME].copy()
    held = hold(weight, tmp_path)
    read = ma.read_weights(OrderedDict(WEIGHTS) | {NAME: held}, CONFIG)[NAME]
    np.testing.assert_array_equal(read, WEIGHTS[NAME])
    assert type(read) is np.ndarray
    assert read.dtype in (np.float32, np.float64)
    assert read.dtype.isnative
    assert read.flags.c_contiguous
    assert read.flags.writeable
    values = held.detach() if hasattr(held, "detach") else held
    values *= 0
    np.testing.assert_array_equal(read, WEIGHTS[NAME])


def _memory_map(weight, path):
    mapped = np.memmap(path, np.float32, "w+", shape=weight.shape)
    mapped[...] = weight
    return mapped


def test_what_is_read_from_a_file_outlives_it(tmp_path):
    torch.save(TENSORS, tmp_path / "a.pt")
    read = ma.read_weights(tmp_path / "a.pt", CONFIG)
    (tmp_path / "a.pt").write_bytes(b"\0" * 10)
    same(read, WEIGHTS)
    read[NAME] += 1


def test_a_pickle_of_python_alone_is_read_or_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(WEIGHTS))
    with pytest.raises(ValueError, match="a.pkl: ") as error:
        read_checkpoint(tmp_path / "a.pkl")
    check_one_clear_line(error)
