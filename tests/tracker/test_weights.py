"""Files that hold no tracker are refused."""

import pytest

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
