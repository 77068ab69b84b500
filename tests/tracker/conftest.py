"""A small tracker and a small video, as the commands are given them."""

import numpy as np
import pytest
from PIL import Image

import memory_attention as ma
from memory_attention.tracker import initial_weights
from memory_attention.tracker.evaluation import held_out_clip
from memory_attention.tracker.weights import write_tracker

CONFIG = ma.load_config("tracker")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Untrained: the commands work whatever was learned."""
    path = tmp_path_factory.mktemp("tracker") / "weights.safetensors"
    write_tracker(path, initial_weights(CONFIG, seed=0), {"config": "tracker", "seed": "0"})
    return path


@pytest.fixture
def video(tmp_path):
    """Three frames of 96 × 128 pixels in a folder, and a mask."""
    folder = tmp_path / "video"
    folder.mkdir()
    clip = held_out_clip(0, 3)
    for index, frame in enumerate(clip.frames):
        Image.fromarray((frame[:96] * 255).astype(np.uint8)).save(folder / f"{index}.png")
    mask = np.zeros((96, 128), np.uint8)
    mask[20:50, 30:70] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return folder
