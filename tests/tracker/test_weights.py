"""Files that hold no tracker are refused."""

import numpy as np
import pytest

from memory_attention.checkpoints import tensors
from memory_attention.configs import load_config
from memory_attention.tracker import initial_weights, read_tracker
from memory_attention.tracker.weights import write_tracker

CONFIG = load_config("tracker")


def test_files_that_are_no_trackers_are_refused(tmp_path):
    weights = initial_weights(CONFIG, seed=0)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_tracker(tmp_path / "none.safetensors")
    (tmp_path / "half.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        read_tracker(tmp_path / "half.safetensors")
    write_tracker(tmp_path / "nameless.safetensors", weights, {})
    with pytest.raises(ValueError, match="name no config"):
        read_tracker(tmp_path / "nameless.safetensors")
    fewer = {name: array for name, array in weights.items() if name != "no_mem_embed"}
    write_tracker(tmp_path / "fewer.safetensors", fewer, {"config": "tracker"})
    with pytest.raises(ValueError, match="missing parameter no_mem_embed"):
        read_tracker(tmp_path / "fewer.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"more": np.zeros(50_000, np.float32)}, "extra parameter more"),
        ({"no_mem_embed": np.zeros(50_000, np.float32)}, "no_mem_embed has shape .50000,., expected"),
        ({"no_mem_embed": np.zeros((1, 1, 64), np.int32)}, "no_mem_embed has dtype int32"),
    ],
)
def test_a_tensor_that_does_not_belong_there_is_not_read(tmp_path, monkeypatch, change, message):
    weights = initial_weights(CONFIG, seed=0)
    write_tracker(tmp_path / "a.safetensors", weights | change, {"config": "tracker"})
    largest, fromfile = max(weight.size for weight in weights.values()), np.fromfile

    def small(path, dtype, count, **where):
        assert count <= largest
        return fromfile(path, dtype, count, **where)

    monkeypatch.setattr(tensors.np, "fromfile", small)
    with pytest.raises(ValueError, match=f"a.safetensors: {message}"):
        read_tracker(tmp_path / "a.safetensors")
