"""Files are written whole or not at all, and read without running what is in them."""

import contextlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`, and rename it to `path` when all went well."""
    check_writable(path)
    target = Path(os.path.realpath(path))
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes a private file; what the user asked for gets the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], figures: Any) -> None:
    """Write figures as JSON, whole or not at all; NaN, which JSON lacks, becomes null."""
    text = json.dumps(figures, indent=1).replace("NaN", "null")
    with whole_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Every array of an `.npz` file. Raises `FileNotFoundError`, or `ValueError` for a file that is none."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not an .npz file")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable .npz file ({error})") from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{path}: {name} is no array")
    return arrays


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise before long work unless `path` can be written: `IsADirectoryError` or `FileNotFoundError`."""
    if Path(path).is_dir():
        raise IsADirectoryError(f"output: {path} is a folder, expected a file to write")
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"output: no such folder: {Path(path).parent}")
