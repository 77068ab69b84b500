"""The tensors of a checkpoint: what each is, known before it is read, and the same as an array of our own."""

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..files import LONGEST_HEADER, npy_header

FLOATS = ("float16", "bfloat16", "float32", "float64", "longdouble", "float96", "float128")

SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I32": "int32",
    "U8": "uint8",
    "BOOL": "bool",
}

LONGEST_NAMES = 5_000_000
"""Bytes of the header of a `.safetensors` file: the largest models' take some hundred thousand."""


@dataclass(frozen=True)
class Stored:
    """A tensor that still lies in its file: what the file's header says of it, and how to read it."""

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def dtype_and_shape(value: Any) -> tuple[str, tuple[int, ...]] | None:
    """What a value of a checkpoint is; none for what is no tensor."""
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        return None
    dtype = value.dtype.name if isinstance(value.dtype, np.dtype) else str(value.dtype).removeprefix("torch.")
    return dtype, tuple(int(size) for size in value.shape)


def as_array(value: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A floating tensor as an array that is nobody else's; bfloat16 becomes float32, longdouble float64.

    Raises `ValueError`, naming the parameter, for one that is no tensor, has another dtype or shape, no
    values, or values that are not finite. Shape and dtype are checked before anything is read.
    """
    found = dtype_and_shape(value)
    if found is None:
        raise ValueError(f"{name} is {type(value).__name__}, expected a floating tensor")
    dtype, own_shape = found
    if dtype not in FLOATS:
        raise ValueError(f"{name} has dtype {dtype[:40]}, expected a floating dtype{_help_with(dtype)}")
    if own_shape != shape:
        raise ValueError(f"{name} has shape {own_shape}, expected {shape}")
    if str(getattr(value, "device", "")) == "meta":
        raise ValueError(f"{name} is on the meta device, which holds no values: load the model's weights first")
    try:
        array = _native(_values(value))
    except Exception as error:
        # Each format and library raises its own kinds; whatever the kind, there are no values.
        raise ValueError(
            f"{name} could not be read, perhaps the file is damaged ({type(error).__name__})"
        ) from None
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has {np.sum(~np.isfinite(array))} values that are NaN or infinite")
    return array


def _help_with(dtype: str) -> str:
    if dtype.startswith("float8"):
        return ": its scales lie elsewhere, so save the weights in bfloat16 or float32"
    if dtype.startswith(("int", "uint", "qint", "quint")):
        return ": where these are quantised weights, save them dequantised"
    return ""


def _values(value: Any) -> Any:
    if isinstance(value, Stored):
        return value.read()
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.to_dense() if str(value.layout) != "torch.strided" else value
        return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    return value


def _native(values: Any) -> np.ndarray:
    """A copy in this machine's byte order, in a dtype that every backend has."""
    array = np.asarray(values)
    kept = array.dtype.newbyteorder("=") if array.dtype.kind == "f" and array.dtype.itemsize <= 8 else None
    wanted = kept or (np.float32 if array.dtype.name == "bfloat16" else np.float64)
    return np.array(array, dtype=wanted, order="C", subok=False)


def safetensors_entries(path: Path) -> dict[str, Stored]:
    """Every tensor of a `.safetensors` file, read only when it is asked for.

    The library checks the header (its size, and that the tensors fill the file without gaps or overlaps);
    NumPy lacks bfloat16, so the bytes are read here.
    """
    from safetensors import safe_open

    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if LONGEST_NAMES < length <= path.stat().st_size:
            raise ValueError(f"has a header of {length:,} bytes, expected at most {LONGEST_NAMES:,}")
        with safe_open(path, framework="numpy"):
            pass
        header: Mapping[str, Any] = json.loads(file.read(length))
    entries = {}
    for name, entry in header.items():
        if name != "__metadata__":
            dtype, shape = SAFETENSORS_DTYPES.get(entry["dtype"], entry["dtype"]), tuple(entry["shape"])
            start = 8 + length + entry["data_offsets"][0]
            entries[name] = Stored(dtype, shape, _safetensors_reader(path, start, dtype, shape))
    return entries


def _safetensors_reader(path: Path, start: int, dtype: str, shape: tuple[int, ...]) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        stored = "<u2" if dtype == "bfloat16" else np.dtype(dtype).newbyteorder("<")
        values = np.fromfile(path, stored, prod(shape), offset=start)
        if dtype == "bfloat16":
            # bfloat16 is the upper half of a float32.
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.reshape(shape)

    return read


def npz_entries(path: Path) -> dict[str, Stored]:
    """Every array of an `.npz` file, read (and unpacked) only when it is asked for."""
    entries = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                shape, dtype = npy_header(file.read(LONGEST_HEADER))
            name = member.removesuffix(".npy")
            entries[name] = Stored(dtype.name, shape, _npz_reader(path, name))
    return entries


def _npz_reader(path: Path, name: str) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        with np.load(path, allow_pickle=False) as file:
            return file[name]

    return read
