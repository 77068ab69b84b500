"""Files are written whole or not at all, where they should be, and read within limits."""

import io
import json
import os
import stat
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_attention import files
from memory_attention.files import check_folder, check_kept, check_writable, read_npz, whole_file, write_json


def test_a_file_is_there_only_when_it_is_whole(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text("old")
    with pytest.raises(IsADirectoryError), whole_file(path) as temporary:
        temporary.write_text("half") and tmp_path.read_text()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["figures.json"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_a_file_keeps_its_permissions(tmp_path, mode):
    path = tmp_path / "a.json"
    path.write_text("old")
    path.chmod(mode)
    write_json(path, 1)
    assert path.read_text() == "1\n"
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_gets_the_usual_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", 1)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o640


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "a.json", {"NaN": [float("nan"), float("inf"), 1.5]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"NaN": [None, None, 1.5]}


def test_a_link_stays_and_its_file_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "there" / "a.json")
    write_json(tmp_path / "link.json", 1)
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "there" / "a.json").read_text() == "1\n"


def test_a_pipe_is_written_through(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_json(pipe, [1, 2])
    reader.join()
    assert read == [b"[\n 1,\n 2\n]\n"]
    assert pipe.is_fifo()


def test_a_pipe_known_by_its_number_is_written_through():
    """As `/dev/stdout` and a shell's `>(…)` are: links that lead to no path."""
    source, sink = os.pipe()
    with os.fdopen(source, "rb") as reader:
        write_json(f"/dev/fd/{sink}", [1, 2])
        os.close(sink)
        assert reader.read() == b"[\n 1,\n 2\n]\n"


def test_a_device_stays_a_device():
    before = os.stat("/dev/null")
    write_json("/dev/null", 1)
    after = os.stat("/dev/null")
    assert stat.S_ISCHR(after.st_mode)
    assert (before.st_ino, before.st_mode, before.st_rdev) == (after.st_ino, after.st_mode, after.st_rdev)


def test_a_full_disk_says_so_and_names_the_file():
    with pytest.raises(OSError, match=r"the disk is full.*'/dev/full'"):
        write_json("/dev/full", 1)


@pytest.mark.parametrize("error", [RuntimeError("writer: No space left on device"), OSError(28, "No space left")])
def test_whoever_writes_a_full_disk_is_called_so(tmp_path, error):
    with pytest.raises(OSError, match=r"the disk is full.*a\.pt"), whole_file(tmp_path / "a.pt"):
        raise error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [RuntimeError("other"), OSError(5, "other"), ValueError("other")])
def test_other_errors_stay_as_they_are(tmp_path, monkeypatch, error):
    """On a disk that is nearly full too."""
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=0))
    with pytest.raises(type(error), match="other"), whole_file(tmp_path / "a.pt"):
        raise error


def test_pillow_says_nothing_of_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=0))
    with pytest.raises(OSError, match="the disk is full"), whole_file(tmp_path / "a.png"):
        raise OSError("encoder error -2 when writing image file")


def test_places_that_cannot_be_written_are_found_before(tmp_path, monkeypatch):
    with pytest.raises(IsADirectoryError, match="is a folder, expected a file"):
        check_writable(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        check_writable(tmp_path / "none" / "a.json")
    (tmp_path / "a").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file, expected a folder"):
        check_folder(tmp_path / "a" / "b")
    check_folder(tmp_path / "new" / "newer")
    assert os.listdir(tmp_path) == ["a"]
    with pytest.raises(OSError, match="/proc/a.json cannot be written"):
        check_writable("/proc/a.json")
    with pytest.raises(OSError, match="/proc/folder cannot be written"):
        check_folder("/proc/folder")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="may not be written"):
        check_writable(tmp_path / "a")


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_after_a_signal_nothing_hidden_is_left(tmp_path, name, status):
    code = (
        "import os, signal, sys\n"
        "from memory_attention import cli, files\n"
        "cli.end_cleanly_when_told()\n"
        f"with files.whole_file({str(tmp_path / 'a.json')!r}):\n"
        f"    os.kill(os.getpid(), signal.{name})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert not list(tmp_path.iterdir())


def npz_of(folder, **members):
    path = folder / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def header(shape, dtype="<f4"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


@given(shape=st.lists(st.integers(2**20, 2**62), min_size=1, max_size=4), dtype=st.sampled_from(["<f4", "<c16"]))
def test_a_header_that_asks_for_more_than_there_is(tmp_path_factory, shape, dtype):
    path = npz_of(tmp_path_factory.mktemp("npz"), curr=header(tuple(shape), dtype))
    with pytest.raises(ValueError, match=r"not a readable .npz file \(curr.npy says that it is larger"):
        read_npz(path)


def test_what_unpacks_to_more_than_the_limit_is_not_unpacked(tmp_path, monkeypatch):
    path = npz_of(tmp_path, curr=header((3000,)) + bytes(12000), memory=header((5,)) + bytes(20))
    assert path.stat().st_size < 1000
    monkeypatch.setenv("MEMORY_ATTENTION_LARGEST", "12100")
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(ValueError, match=r"a.npz takes 1.23e-05 GB in memory, more than the limit of 1.21e-05 GB"):
        read_npz(path)
    monkeypatch.undo()
    monkeypatch.setenv("MEMORY_ATTENTION_LARGEST", "2e4")
    assert read_npz(path)["curr"].shape == (3000,)


def test_the_limit_must_be_a_number(monkeypatch):
    monkeypatch.setenv("MEMORY_ATTENTION_LARGEST", "much")
    with pytest.raises(ValueError, match="MEMORY_ATTENTION_LARGEST is 'much', expected a number of bytes"):
        files.largest()
    monkeypatch.delenv("MEMORY_ATTENTION_LARGEST")
    assert files.largest() == files.LARGEST == 2**30


def test_objects_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", curr=np.array([{}], object))
    with pytest.raises(ValueError, match="not a readable .npz file"):
        read_npz(tmp_path / "a.npz")


@given(st.sampled_from(["itself", "link", "part", "folder"]), st.integers(0, 2))
def test_what_is_read_is_not_replaced(tmp_path_factory, how, place):
    folder = tmp_path_factory.mktemp("kept")
    output, other = folder / "a.bin", folder.parent / f"{folder.name}-other"
    output.write_bytes(b"mine")
    other.mkdir()
    (folder / "link").symlink_to(output)
    given = {"itself": output, "link": folder / "link", "part": f"{output}::ema", "folder": folder}[how]
    inputs = [None, other]
    inputs.insert(place, given)
    with pytest.raises(ValueError, match=r"output: .*a.bin is read as well"):
        check_kept(output, *inputs)
    check_kept(output, None, other, f"{other}::ema")
    check_kept(folder / "new.bin", given)


def test_a_header_that_is_itself_large_is_not_unpacked(tmp_path):
    """A header may say that it is long; compressed blanks are small in the file."""
    long = 20_000_000
    content = b"\x93NUMPY\x02\x00" + long.to_bytes(4, "little") + b"{'descr': '<f4', " + b" " * long
    path = npz_of(tmp_path, curr=content)
    tracemalloc.start()
    with pytest.raises(ValueError, match="not a readable .npz file"):
        read_npz(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
