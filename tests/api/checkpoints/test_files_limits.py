"""A small file cannot ask for all the memory, nor a long header for all the time."""

import io
import pickle
import tracemalloc

import pytest
import torch

import memory_attention as ma
from checkpoint_forms import all_weights, check_one_clear_line
from memory_attention.checkpoints import tensors
from memory_attention.tracker import read_tracker

CONFIG = ma.load_config("tiny")


class AsksForMemory:
    """Pickled in some forty bytes, and as large as it says once it is read."""

    def __reduce__(self):
        return bytearray, (300_000_000,)


def saved(zipped):
    buffer = io.BytesIO()
    torch.save({"model": {"extra": AsksForMemory()}}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [saved(True), saved(False), pickle.dumps(AsksForMemory(), 2)])
def test_a_pickle_that_asks_for_memory_is_refused(content, tmp_path):
    (tmp_path / "a.pt").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ValueError, match="a.pt: refused, since it holds a bytearray") as error:
        ma.read_weights(tmp_path / "a.pt", CONFIG)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    check_one_clear_line(error)


@pytest.mark.parametrize("read", [lambda path: ma.read_weights(path, CONFIG), read_tracker])
def test_a_header_of_too_many_names_is_not_read(read, tmp_path, monkeypatch):
    from safetensors.torch import save_file

    weights = {name: torch.from_numpy(weight) for name, weight in all_weights(CONFIG).items()}
    save_file(weights, tmp_path / "a.safetensors")
    length = int.from_bytes((tmp_path / "a.safetensors").read_bytes()[:8], "little")
    monkeypatch.setattr(tensors, "LONGEST_NAMES", length - 1)
    with pytest.raises(ValueError, match=f"header of {length:,} bytes, expected at most {length - 1:,}"):
        read(tmp_path / "a.safetensors")
    monkeypatch.setattr(tensors, "LONGEST_NAMES", length)
    assert ma.read_weights(tmp_path / "a.safetensors", CONFIG).keys() == weights.keys()
