"""A recording's file: everything comes back, and what is no such file is refused in words."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

import memory_attention as ma
from memory_attention import load_recording
from memory_attention.recording import Recording, fingerprint_of
from recordings import check_same, draw_recording


@pytest.fixture
def path(tmp_path):
    draw_recording().save(tmp_path / "recording.safetensors")
    return tmp_path / "recording.safetensors"


def test_everything_comes_back(tmp_path):
    recording = draw_recording(seed=4)
    recording.stopped = "it was full"
    for made in (recording, Recording()):
        made.save(tmp_path / "one.safetensors")
        check_same(load_recording(str(tmp_path / "one.safetensors")), made)


def test_written_whole_or_not_at_all(path, monkeypatch):
    before = path.read_bytes()
    broken = draw_recording(seed=1)
    broken.looks[2] = replace(broken.looks[2], object={"no": object()})
    with pytest.raises(TypeError):
        broken.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_file_that_was_cut(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="recording.safetensors: not a readable recording, perhaps cut short"):
        load_recording(path)


def test_no_file_and_no_recording(tmp_path):
    with pytest.raises(FileNotFoundError, match="recording: no such file: .*nowhere"):
        load_recording(tmp_path / "nowhere.safetensors")
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="weights.safetensors: is a safetensors file, but no recording"):
        load_recording(tmp_path / "weights.safetensors")


def test_a_file_that_is_too_large(path, monkeypatch):
    monkeypatch.setenv("MEMORY_ATTENTION_LARGEST", "1000")
    with pytest.raises(ValueError, match="more than the limit of 1e-06 GB; set MEMORY_ATTENTION_LARGEST"):
        load_recording(path)


def test_a_recording_of_another_model(tmp_path):
    tiny, other = ma.load("tiny"), ma.load("tiny", seed=1)
    Recording({"model": "mine", "fingerprint": fingerprint_of(tiny)}).save(tmp_path / "r.safetensors")
    assert load_recording(tmp_path / "r.safetensors", tiny).made_by["model"] == "mine"
    with pytest.raises(ValueError, match="the recording is of another model: a mine"):
        load_recording(tmp_path / "r.safetensors", other)


def rewrite(path, change, dtypes=()):
    """Change the description of a recording, or the dtypes that its tensors say they have."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    said = json.loads(header["__metadata__"]["memory_attention.recording"])
    header["__metadata__"]["memory_attention.recording"] = json.dumps(change(said) or said)
    for name, dtype in dtypes:
        header[name]["dtype"] = dtype
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def in_look(**changes):
    return lambda said: said["looks"][0].update(changes)


DAMAGED = {
    "is a recording of version 2, expected 1": lambda said: said.update(version=2),
    "description is damaged .KeyError: 'looks'": lambda said: said.pop("looks") and None,
    "description is damaged .TypeError": lambda said: ["no mapping"],
    "description is damaged .*is no whole number": in_look(frame=1.5),
    "description is damaged .* cannot unpack|not enough values": in_look(grid=[5]),
    "has no tensor looks.0.cross.7": in_look(cross=[7]),
    "look 0 has no rows at the memory": in_look(cross=[]),
    "look 0 has no rows at the memory, or no grid": in_look(grid=[-3, -5]),
    r"look 0 has queries outside its grid \(2, 3\)": in_look(grid=[2, 3]),
    "look 0 has rows self.0 of shape": in_look(self=[0], cross=[3]),
    "look 0 has 42 memory tokens with 5 of pointers": in_look(num_obj_ptr_tokens=5),
    "look 0 has 42 memory tokens with 42 of pointers": in_look(num_obj_ptr_tokens=42),
    "look 0 names 1 memory frames, expected 2": in_look(memory_frames=[4]),
    "look 0 names 5 pointers for 12 tokens": in_look(pointer_frames=[1, 2, 3, 4, 5]),
    "look 0 names 0 pointers for 12 tokens": in_look(pointer_frames=[]),
    "has no tensor images.77": lambda said: said["images"].append(77),
}


@pytest.mark.parametrize("message", DAMAGED)
def test_a_description_that_does_not_fit(message, path):
    if "self.0" in message:
        recording = draw_recording()
        rows = {**recording.looks[0].rows, ("self", 0): recording.looks[0].rows["cross", 0]}
        recording.looks[0] = replace(recording.looks[0], rows=rows)
        recording.save(path)
    rewrite(path, DAMAGED[message])
    with pytest.raises(ValueError, match=message) as caught:
        load_recording(path)
    assert str(path) in str(caught.value)


def test_tensors_that_are_something_else(path):
    rewrite(path, lambda said: None, [("looks.0.queries", "F32")])
    with pytest.raises(ValueError, match=r"looks.0.queries is float32 \(2,\), expected int32 of rank 1"):
        load_recording(path)


def test_rows_that_are_not_finite(path):
    recording = draw_recording()
    recording.looks[1].rows["cross", 3][0, 1, 2] = np.nan
    recording.save(path)
    with pytest.raises(ValueError, match="look 1 has rows cross.3 of shape .* expected finite ones"):
        load_recording(path)
