"""Checkpoint files by what is in them, not by their endings: names and tensors, without running their code."""

import json
import mmap
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import check_size
from ..rules.packages import require
from .tensors import npz_entries, safetensors_entries

INDEX_LIMIT = 10_000_000
"""Bytes of an index of shards: the largest models' are some hundred thousand."""

ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".npz")

# What a file begins with that is no checkpoint, and what to do about it.
OTHER_FILES = {
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself: fetch it with git lfs pull",
    b"<": "is a web page, not a checkpoint: the download failed, so look whether it asks for a login or a licence",
    b"\x93NUMPY": "is a single array, expected names and tensors: save it as .npz",
    b"\x1f\x8b": "is packed with gzip: unpack it first",
    b"\xfd7zXZ": "is packed with xz: unpack it first",
    b"\x28\xb5\x2f\xfd": "is packed with zstd: unpack it first",
    b"GGUF": "is a GGUF file, which is not read: save the weights as .safetensors",
    b"\x89HDF": "is an HDF5 file, which is not read: save the weights as .safetensors",
}


def read_checkpoint(path: Path) -> Any:
    """What a checkpoint file, an index of shards, or the folder of either holds.

    Tensors are read, where the format allows it, only when they are asked for. Raises
    `FileNotFoundError`, and `ValueError`, in one line, for a file that is no checkpoint or would run code.
    """
    if path.is_dir():
        path = _checkpoint_in(path)
    return _read_file(path)


class Refused(ValueError):
    """The file was understood, and is not what is wanted; the message says all."""


def one_line(text: str, limit: int) -> str:
    """Foreign text for a message of ours: no line breaks, no terminal codes, not long."""
    shown = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    shown = "".join(letter if letter.isprintable() else " " for letter in shown)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _read_file(path: Path, is_shard: bool = False) -> Any:
    if not path.exists():
        raise FileNotFoundError(f"weights: no such file: {path}")
    if not path.is_file():
        raise Refused(f"{path}: is a folder, a pipe or a device, expected a file")
    try:
        return _read(path, is_shard)
    except (ModuleNotFoundError, FileNotFoundError, PermissionError, Refused):
        raise
    except MemoryError:
        raise Refused(f"{path}: asks for more memory than there is") from None
    except Exception as error:
        # Each format raises its own kinds; whatever the kind, the file could not be read.
        reason = one_line(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}", 120)
        raise Refused(
            f"{path}: not a readable checkpoint, perhaps cut short: download it again ({reason})"
        ) from None


def _read(path: Path, is_shard: bool) -> Any:
    with path.open("rb") as file:
        start = file.read(512)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[8:9] == b"{" and not text.startswith(b"{"):
        return safetensors_entries(path)
    if start.startswith(b"PK"):
        return _read_zip(path)
    if start.startswith(b"\x80"):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _check_no_bytearray(path, data)
        return _read_torch(path)
    if text.startswith((b"{", b"[")) and not is_shard:
        return _read_shards(path)
    if not text:
        raise Refused(f"{path}: is {'empty' if not start else 'blank'}: download or save it again")
    for beginning, word in OTHER_FILES.items():
        if text.startswith(beginning):
            raise Refused(f"{path}: {word}")
    if start[257:262] == b"ustar":
        raise Refused(f"{path}: is a tar archive: unpack it first")
    raise Refused(
        f"{path}: is no checkpoint, which is a PyTorch, .safetensors or .npz file: begins with {start[:16]!r}"
    )


def _checkpoint_in(folder: Path) -> Path:
    """The one checkpoint of a folder: an index of shards, else `model.safetensors`, else the only file."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    indices = [path for path in files if path.name.endswith(".safetensors.index.json")]
    found = indices or [path for path in files if path.name == "model.safetensors"]
    found = found or [path for path in files if path.suffix in ENDINGS]
    if not found:
        raise FileNotFoundError(
            f"weights: no checkpoint in the folder {folder}, which would end in {', '.join(ENDINGS)}"
        )
    if len(found) > 1:
        names = ", ".join(one_line(path.name, 40) for path in found[:4])
        raise ValueError(f"{folder}: holds {len(found)} checkpoints, so name one of them: {names}")
    return found[0]


def _read_shards(path: Path) -> dict[str, Any]:
    """The tensors of the shards beside an index (`{"weight_map": {name: file}}`), which is Hugging Face's form."""
    if path.stat().st_size > INDEX_LIMIT:
        raise Refused(
            f"{path}: has {path.stat().st_size:,} bytes of JSON, expected an index of at most {INDEX_LIMIT:,}"
        )
    index = json.loads(path.read_text(encoding="utf-8-sig"))
    places = index.get("weight_map") if isinstance(index, Mapping) else None
    if not isinstance(places, Mapping):
        raise Refused(f"{path}: is JSON without the weight_map of an index of shards: name the checkpoint itself")
    shards = {}
    for file in {str(file): None for file in places.values()}:
        # Shards lie beside their index, so that a file from elsewhere cannot reach into other folders.
        if file in ("", ".", "..") or set(file) & set("/\\:") or not file.isprintable():
            raise Refused(f"{path}: names the shard {one_line(file, 60)!r}, expected the name of a file beside it")
        shard = path.with_name(file)
        if not shard.exists():
            raise FileNotFoundError(f"weights: {path} names the shard {one_line(file, 60)!r}, which is not there")
        shards[file] = _read_file(shard, is_shard=True)
    found = {}
    for name, file in places.items():
        if not isinstance(shards[str(file)], Mapping) or name not in shards[str(file)]:
            raise Refused(f"{path}: places {one_line(name, 100)} in {one_line(str(file), 60)}, which lacks it")
        found[name] = shards[str(file)][name]
    return found


def _read_zip(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        raise Refused(f"{path}: is cut short, since the directory at its end is missing: download it again")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            if member.filename.endswith("data.pkl"):
                check_size(member.file_size, f"{path}: {member.filename}")
                _check_no_bytearray(path, archive.read(member))
    names = [member.filename for member in members]
    if names and all(name.endswith(".npy") for name in names):
        return npz_entries(path)
    if any(name.endswith("/constants.pkl") for name in names):
        raise Refused(f"{path}: is a TorchScript program, which holds code: save its state_dict() with torch.save")
    if not any(name.endswith("data.pkl") for name in names):
        listed = ", ".join(one_line(name, 40) for name in names[:3]) or "nothing"
        raise Refused(f"{path}: is an archive of {listed}: expected a checkpoint, so unpack it first")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise Refused(f"{path}: was packed anew with compression, expected it as torch.save wrote it")
    return _read_torch(path, mmap=True)


def _check_no_bytearray(path: Path, pickled: bytes | mmap.mmap) -> None:
    """PyTorch would make one of any length: forty bytes of a file may ask for all the memory there is."""
    if pickled.find(b"\nbytearray\n") >= 0:
        raise Refused(
            f"{path}: refused, since it holds a bytearray, which may take any memory; where it was made, "
            "save the tensors alone: torch.save({'model': model.state_dict()}, 'weights.pt')"
        )


def _read_torch(path: Path, mmap: bool = False) -> Any:
    require("torch", f"{path}: reading a PyTorch checkpoint")
    import pickle

    import torch

    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            # PyTorch maps only what it opens itself, and takes any file of this ending for safetensors.
            mmap = mmap and path.suffix != ".safetensors"
            return torch.load(os.fspath(path) if mmap else file, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = one_line(foreign[1], 80) if foreign else "more than tensors"
        raise Refused(
            f"{path}: refused, since it holds {what}, and reading that could run code; where it was made, "
            "save the tensors alone: torch.save({'model': model.state_dict()}, 'weights.pt')"
        ) from None
