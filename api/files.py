"""Files are written whole or not at all, and read within limits, without running what is in them."""

import contextlib
import errno
import io
import json
import math
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

LARGEST = 2**30
"""The bytes that one file may take in memory, where `MEMORY_ATTENTION_LARGEST` does not say otherwise."""

LONGEST_HEADER = 12_000
"""Bytes of an array's header in an `.npz` file; NumPy itself takes no longer ones."""

LARGEST_VARIABLE = "MEMORY_ATTENTION_LARGEST"


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path, and put what was written there in the place of `path` when all went well.

    A file that is there keeps its permissions; a device or a pipe is written to and stays what it is. Raises
    `OSError` naming `path` where the disk is full.
    """
    check_writable(path)
    # The link of a pipe, /dev/stdout, leads to a name that is no path.
    through = _is_special(path)
    target = Path(path if through else os.path.realpath(path))
    folder = None if through else target.parent
    handle, name = tempfile.mkstemp(prefix=".memory-attention-", suffix=target.suffix, dir=folder)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if through:
            _write_through(temporary, target)
        else:
            temporary.chmod(_permissions(target))
            temporary.replace(target)
    except Exception as error:
        if _is_full(error, temporary.parent):
            raise OSError(errno.ENOSPC, "the disk is full", str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _is_special(path: str | os.PathLike[str]) -> bool:
    """A device, a pipe or a socket."""
    return os.path.exists(path) and not os.path.isdir(path) and not stat.S_ISREG(os.stat(path).st_mode)


def _write_through(temporary: Path, target: Path) -> None:
    # Opened as it is: neither made nor cut, which a device does not know.
    with temporary.open("rb") as source, os.fdopen(os.open(target, os.O_WRONLY), "wb") as sink:
        shutil.copyfileobj(source, sink)


def _permissions(target: Path) -> int:
    """Those of the file that is there, else those that any new file gets."""
    return stat.S_IMODE(target.stat().st_mode) if target.exists() else usual_permissions(0o666)


def usual_permissions(most: int) -> int:
    """What the user's mask leaves of the permissions `most` to a new file or folder."""
    umask = os.umask(0)
    os.umask(umask)
    return most & ~umask


def _is_full(error: Exception, folder: Path) -> bool:
    """Whether a disk without room is what is wrong; some writers say so in words only, Pillow not even so."""
    if isinstance(error, OSError):
        if error.errno is None:
            return shutil.disk_usage(folder).free < 2**16
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "No space left" in str(error)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise before long work unless `path` can be written: an `OSError` that names it."""
    special = _is_special(path)
    target = Path(path if special else os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"output: {path} is a folder, expected a file to write")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"output: no such folder: {Path(path).parent}")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(f"output: {path} may not be written")
    if not special:
        _check_room(target.parent, path)


def check_kept(output: str | os.PathLike[str], *inputs: str | os.PathLike[str] | None) -> None:
    """Raise `ValueError` where `output` would replace a file that is read: of `inputs`, or in a folder of them."""
    if not os.path.exists(output):
        return
    target = os.path.realpath(output)
    for given in inputs:
        # A checkpoint's path may have the name of a part behind it; a config's name is a word, and no folder.
        path = os.path.realpath(str(given).partition("::")[0])
        within = isinstance(given, Path) and path == os.path.dirname(target)
        if given is not None and (path == target or within):
            raise ValueError(f"output: {output} is read as well ({given}), and would be lost; take another name")


def check_folder(path: str | os.PathLike[str]) -> None:
    """Raise before long work unless `path` is, or can become, a folder to write files in."""
    folder = Path(os.path.realpath(path))
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(f"output: {folder} is a file, expected a folder")
    _check_room(folder, path)


def _check_room(folder: Path, path: str | os.PathLike[str]) -> None:
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise type(error)(f"output: {path} cannot be written ({error.strerror})") from None


def write_json(path: str | os.PathLike[str], figures: Any) -> None:
    """Write figures as JSON, whole or not at all; NaN and infinity, which JSON lacks, become null."""
    finite = json.loads(json.dumps(figures), parse_constant=lambda _: None)
    text = json.dumps(finite, indent=1)
    with whole_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def largest() -> int:
    """The bytes that one file may take in memory. Raises `ValueError` where the variable is no number."""
    said = os.environ.get(LARGEST_VARIABLE)
    if not said:
        return LARGEST
    try:
        return int(float(said))
    except (ValueError, OverflowError):
        raise ValueError(f"{LARGEST_VARIABLE} is {said!r}, expected a number of bytes such as 4e9") from None


def check_size(size: int, what: str) -> None:
    """Raise `ValueError` before memory is taken, if `what` takes more than the limit."""
    if size > largest():
        raise ValueError(
            f"{what} takes {size / 1e9:.3g} GB in memory, more than the limit of {largest() / 1e9:.3g} GB; "
            f"set {LARGEST_VARIABLE}, in bytes, to allow it all the same"
        )


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Every array of an `.npz` file.

    Raises `FileNotFoundError`, or `ValueError` for a file that is none, whose arrays are not what their headers
    say, or that takes more memory than the limit, `largest`.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path}: is a folder, expected an .npz file")
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not an .npz file")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path)
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except _TooLarge as error:
        raise ValueError(str(error)) from None
    except (ValueError, OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable .npz file ({str(error)[:200]})") from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{path}: {name} is no array")
    return arrays


class _TooLarge(Exception):
    """What `check_size` says, told apart from other errors of reading."""


def _check_members(archive: zipfile.ZipFile, path: str | os.PathLike[str]) -> None:
    """Raise unless every array is as large as its header says, and all together are within the limit."""
    members = archive.infolist()
    for member in members:
        with archive.open(member) as file:
            start = file.read(LONGEST_HEADER)
        if not start.startswith(npy.MAGIC_PREFIX):
            # What is no array is named when it was read.
            continue
        shape, dtype = npy_header(start)
        if math.prod(shape) * dtype.itemsize > member.file_size:
            raise ValueError(f"{member.filename} says that it is larger than the file")
    try:
        check_size(sum(member.file_size for member in members), str(path))
    except ValueError as error:
        raise _TooLarge(error) from None


def npy_header(start: bytes) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an array by its first `LONGEST_HEADER` bytes. Raises `ValueError` where they are none."""
    file = io.BytesIO(start)
    first = npy.read_magic(file) == (1, 0)
    shape, _, dtype = (npy.read_array_header_1_0 if first else npy.read_array_header_2_0)(file)
    return shape, dtype
