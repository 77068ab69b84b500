"""A training that can be interrupted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from memory_attention.tracker import read_tracker
from memory_attention.tracker import training as training_module
from memory_attention.tracker.recipe import Recipe
from memory_attention.tracker.training import Training, train
from memory_attention.tracker.training_checkpoint import CHECKPOINT
from memory_attention.tracker.training_log import LOG, read_log

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


def test_an_interrupted_training_keeps_every_whole_step(tmp_path, monkeypatch):
    """Interrupted in the middle of the third step, it goes on as if it had not been."""
    straight = train(tmp_path / "straight", SHORT, show_progress=False)
    step = torch.optim.AdamW.step
    made = []

    def interrupted(optimiser, *given):
        # After the parameters were changed, before the step is whole.
        step(optimiser, *given)
        made.append(1)
        if len(made) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "broken", SHORT, show_progress=False)
    assert len(read_log(tmp_path / "broken" / LOG)) == 2
    again = train(tmp_path / "broken", SHORT, show_progress=False)
    (_, expected, _), (_, found, _) = read_tracker(straight), read_tracker(again)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_two_trainings_in_one_folder_are_refused(tmp_path):
    with FileLock(tmp_path / "training.lock"), pytest.raises(ValueError, match="another training is running"):
        train(tmp_path, SHORT, show_progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["training.lock"]


def test_a_config_that_is_no_trackers_is_refused_before_work(tmp_path):
    with pytest.raises(ValueError, match="config tiny cannot be trained: image_size is 64, expected 128"):
        train(tmp_path / "new", replace(SHORT, config="tiny"), show_progress=False)
    assert not (tmp_path / "new").exists()
