"""A training that can be interrupted."""

from pathlib import Path

import numpy as np
import pytest

from memory_attention.tracker import read_tracker
from memory_attention.tracker import training as training_module
from memory_attention.tracker.training import CHECKPOINT, LOG, Recipe, Training, train

pytest.importorskip("skimage", reason="the clips are made of scikit-image's photographs")

SHORT = Recipe(steps=4, frames=4, lengths=(2, 3), warmup=2)


def test_training_goes_on_as_if_never_interrupted(tmp_path):
    whole = train(tmp_path / "whole", SHORT, show_progress=False)
    train(tmp_path / "parts", SHORT, stop_at=2, show_progress=False)
    parts = train(tmp_path / "parts", SHORT, show_progress=False)
    _, expected, _ = read_tracker(whole)
    _, found, _ = read_tracker(parts)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    losses = [
        [line.split(",")[3] for line in (tmp_path / name / LOG).read_text().splitlines()]
        for name in ("whole", "parts")
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 5


def test_an_interrupted_save_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    train(tmp_path, SHORT, stop_at=1, show_progress=False)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def interrupted(state, path):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(training_module.torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, SHORT, show_progress=False)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_checkpoint_that_is_none_or_of_another_recipe_is_refused(tmp_path):
    train(tmp_path, SHORT, stop_at=1, show_progress=False)
    with pytest.raises(ValueError, match="another recipe"):
        Training.resume(tmp_path / CHECKPOINT, Recipe(steps=4, frames=4, lengths=(2, 3), warmup=3))
    (tmp_path / CHECKPOINT).write_bytes(b"half a checkp")
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        Training.resume(tmp_path / CHECKPOINT, SHORT)
