"""A recording's file: safetensors with the rows and pictures, and a description of them in JSON."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from .checkpoints.tensors import Stored, safetensors_entries
from .files import check_size, whole_file
from .looks import Look
from .rules.numbers import is_whole_number

ENTRY = "memory_attention.recording"
"""The entry of the file's metadata that says that it is a recording, and what is in it."""

VERSION = 1

ROWS = {"cross": "looks.{}.cross.{}", "self": "looks.{}.self.{}"}

Parts = tuple[dict[str, str], list[Look], dict[int, np.ndarray], dict[int, np.ndarray], str]


def write_parts(
    path: str | os.PathLike[str],
    made_by: Mapping[str, str],
    looks: Sequence[Look],
    images: Mapping[int, np.ndarray],
    masks: Mapping[int, np.ndarray],
    stopped: str,
) -> None:
    """Write the parts of a recording, whole or not at all."""
    tensors = {f"images.{number}": image for number, image in images.items()}
    tensors |= {f"masks.{number}": mask for number, mask in masks.items()}
    for index, look in enumerate(looks):
        tensors[f"looks.{index}.queries"] = look.queries.astype(np.int32)
        for (kind, layer), rows in look.rows.items():
            tensors[ROWS[kind].format(index, layer)] = rows.astype(np.float32, copy=False)
    said = {
        "version": VERSION,
        "made_by": dict(made_by),
        "stopped": stopped,
        "looks": [_described(look) for look in looks],
        "images": list(images),
        "masks": list(masks),
    }
    whole = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with whole_file(path) as temporary:
        save_file(whole, temporary, {ENTRY: json.dumps(said)})


def read_parts(path: Path) -> Parts:
    """Read the parts of a recording, each checked.

    Raises `FileNotFoundError`, or `ValueError` for a file that is none, is cut or of another version, or takes
    more memory than the limit.
    """
    if not path.is_file():
        kind = "is a folder, expected a recording's file" if path.is_dir() else "no such file"
        raise FileNotFoundError(f"recording: {kind}: {path}")
    check_size(path.stat().st_size, str(path))
    try:
        entries = safetensors_entries(path)
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
    except Exception as error:
        # safetensors raises its own kinds; whatever the kind, the file could not be read.
        raise ValueError(f"{path}: not a readable recording, perhaps cut short ({str(error)[:200]})") from None
    if ENTRY not in metadata:
        raise ValueError(f"{path}: is a safetensors file, but no recording: its metadata have no {ENTRY!r}")
    try:
        said = json.loads(metadata[ENTRY])
        version = said["version"]
        if version != VERSION:
            raise _Refused(f"is a recording of version {str(version)[:40]}, expected {VERSION}")
        return _parts(said, lambda name, dtype, rank: _array(entries, name, dtype, rank))
    except _Refused as error:
        raise ValueError(f"{path}: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise ValueError(f"{path}: is a recording whose description is damaged ({reason})") from None


class _Refused(Exception):
    """What is wrong with a file, in words."""


def _parts(said: Mapping[str, Any], array: Callable[[str, str, int], np.ndarray]) -> Parts:
    made_by = {str(name): str(value) for name, value in said["made_by"].items()}
    looks = [_look(one, index, array) for index, one in enumerate(said["looks"])]
    images = {_number(n): array(f"images.{n}", "uint8", 3) for n in said["images"]}
    masks = {_number(n): array(f"masks.{n}", "bool", 3) for n in said["masks"]}
    for number, image in images.items():
        if image.shape[2] != 3 or 0 in image.shape:
            raise _Refused(f"images.{number} has shape {image.shape}, expected [h,w,3]")
    return made_by, looks, images, masks, str(said["stopped"])


def _described(look: Look) -> dict[str, Any]:
    numbers = {name: getattr(look, name) for name in ("frame", "num_obj_ptr_tokens")}
    flags = {name: getattr(look, name) for name in ("frame_known", "backwards")}
    frames = {name: getattr(look, name) for name in ("memory_frames", "pointer_frames", "prompted")}
    rows = {kind: sorted(layer for name, layer in look.rows if name == kind) for kind in ROWS}
    return {"object": look.object, "grid": list(look.grid), **numbers, **flags, **frames, **rows}


def _look(said: Mapping[str, Any], index: int, array: Callable[[str, str, int], np.ndarray]) -> Look:
    """One look, whose rows have as many queries and tokens as its description says."""
    rows = {
        (kind, _number(layer)): array(name.format(index, layer), "float32", 3)
        for kind, name in ROWS.items()
        for layer in said[kind]
    }
    height, width = (_number(side) for side in said["grid"])
    look = Look(
        frame=_number(said["frame"]),
        object=str(said["object"]),
        grid=(height, width),
        queries=array(f"looks.{index}.queries", "int32", 1).astype(np.int64),
        rows=rows,
        num_obj_ptr_tokens=_number(said["num_obj_ptr_tokens"]),
        memory_frames=_numbers(said["memory_frames"]),
        pointer_frames=_numbers(said["pointer_frames"]),
        prompted=_numbers(said["prompted"]) or (),
        frame_known=bool(said["frame_known"]),
        backwards=bool(said["backwards"]),
    )
    wrong = _what_is_wrong(look)
    if wrong:
        raise _Refused(f"look {index} {wrong}")
    return look


def _what_is_wrong(look: Look) -> str:
    """Where rows, queries and frames of a look do not go together; empty where they do."""
    tokens, pointers = look.num_tokens, look.num_obj_ptr_tokens
    if not look.layers or min(look.grid) < 1:
        return "has no rows at the memory, or no grid"
    if look.queries.size == 0 or look.queries.min() < 0 or look.queries.max() >= tokens:
        return f"has queries outside its grid {look.grid}"
    memory = look.at_memory(look.layers[0]).shape[-1]
    for (kind, layer), rows in look.rows.items():
        expected = (len(look.queries), memory if kind == "cross" else tokens)
        if rows.shape[1:] != expected or rows.shape[0] < 1 or not np.isfinite(rows).all():
            return f"has rows {kind}.{layer} of shape {rows.shape}, expected finite ones [H,{expected}]"
    if not 0 <= pointers < memory or (memory - pointers) % tokens:
        return f"has {memory} memory tokens with {pointers} of pointers, expected frames of {tokens} before them"
    if look.memory_frames is not None and len(look.memory_frames) != look.num_memories:
        return f"names {len(look.memory_frames)} memory frames, expected {look.num_memories}"
    named = len(look.pointer_frames or ())
    if look.pointer_frames is not None and (pointers % named if named else pointers):
        return f"names {named} pointers for {pointers} tokens"
    return ""


def _array(entries: Mapping[str, Stored], name: str, dtype: str, rank: int) -> np.ndarray:
    if name not in entries:
        raise _Refused(f"has no tensor {name}")
    stored = entries[name]
    if stored.dtype != dtype or len(stored.shape) != rank:
        raise _Refused(f"{name} is {stored.dtype} {stored.shape}, expected {dtype} of rank {rank}")
    return stored.read()


def _number(value: Any) -> int:
    if not is_whole_number(value):
        raise TypeError(f"{str(value)[:40]!r} is no whole number")
    return int(value)


def _numbers(values: Any) -> tuple[int, ...] | None:
    return None if values is None else tuple(_number(value) for value in values)
