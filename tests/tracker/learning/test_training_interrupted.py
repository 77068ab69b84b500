"""A training that is stopped at any line loses no whole step, and goes on as if it had not been stopped."""

import functools
import sys
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_attention.tracker import read_tracker
from memory_attention.tracker.learning import checkpoint, log, muon, training, unrolled
from memory_attention.tracker.learning.checkpoint import CHECKPOINT, read_checkpoint
from memory_attention.tracker.learning.log import LOG, read_log
from memory_attention.tracker.learning.recipe import Recipe
from memory_attention.tracker.learning.training import train

pytest.importorskip("skimage", reason="the clips are made of scikit-image's photographs")

SHORT = Recipe(steps=3, frames=2, lengths=(2,), objects=1, warmup=2)
SAVE_EVERY = 2
TRACED = {module.__file__ for module in (training, unrolled, muon, log, checkpoint)}


@contextmanager
def each_line(do):
    """Call `do` with file and number of every line of a training that is reached."""

    def line(frame, event, argument):
        if event == "line":
            do((frame.f_code.co_filename, frame.f_lineno))
        return line

    before = sys.gettrace()
    sys.settrace(lambda frame, event, argument: line if frame.f_code.co_filename in TRACED else None)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The folder of a training that nothing stopped, how often it reached each line, and clips drawn once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unrolled, "training_clips", functools.cache(unrolled.training_clips))
        weights = training.initial_weights(training.load_config(SHORT.config), SHORT.seed)
        patch.setattr(training, "initial_weights", lambda config, seed: weights)
        for step in range(SHORT.steps):
            unrolled.training_clips(SHORT, step, 0, 1)
        folder, reached = tmp_path_factory.mktemp("straight"), Counter()
        with each_line(lambda line: reached.update([line])):
            train(folder, SHORT, save_every=SAVE_EVERY, show_progress=False)
        yield folder, reached


def check_same_training(folder, expected):
    """Weights and losses are those of the other folder."""
    weights, those = (read_tracker(path / "weights.safetensors")[1] for path in (folder, expected))
    assert weights.keys() == those.keys()
    for name, array in those.items():
        np.testing.assert_array_equal(weights[name], array, err_msg=name)
    rows, others = (read_log(path / LOG) for path in (folder, expected))
    assert [row | {"seconds": 0} for row in rows] == [row | {"seconds": 0} for row in others]


@pytest.mark.heavy
@given(data=st.data())
@settings(max_examples=15)
def test_stopped_at_any_line(straight, tmp_path_factory, data):
    expected, reached = straight
    line = data.draw(st.sampled_from(sorted(reached)))
    left = data.draw(st.integers(1, reached[line]))
    folder, begun = tmp_path_factory.mktemp("stopped"), []

    def stop_there(here):
        nonlocal left
        left -= here == line
        if not left:
            left = -1
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        clips = unrolled.training_clips
        patch.setattr(unrolled, "training_clips", lambda *given: begun.append(given[1]) or clips(*given))
        with pytest.raises(KeyboardInterrupt), each_line(stop_there):
            train(folder, SHORT, save_every=SAVE_EVERY, show_progress=False)
    if len(begun) > 1:
        saved = read_checkpoint(folder / CHECKPOINT, SHORT)["step"]
        assert len(begun) - 1 <= saved <= len(begun)
        assert len(read_log(folder / LOG, saved)) == saved
    train(folder, SHORT, save_every=SAVE_EVERY, show_progress=False)
    check_same_training(folder, expected)


@pytest.mark.parametrize(("place", "call", "saved"), [("state", 3, 1), ("save", 1, 3)])
def test_stopped_where_a_step_is_kept(straight, tmp_path, monkeypatch, place, call, saved):
    """In the copy of step 2, of which the log says nothing then; and in the only save, which is made again."""
    owner, name = {"state": (training.Training, "_state"), "save": (training, "write_checkpoint")}[place]
    kept, calls = getattr(owner, name), []

    def stopped(*given):
        calls.append(given)
        if len(calls) == call:
            raise KeyboardInterrupt
        return kept(*given)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stopped)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, SHORT, save_every=10, show_progress=False)
    assert read_checkpoint(tmp_path / CHECKPOINT, SHORT)["step"] == saved
    assert [row["step"] for row in read_log(tmp_path / LOG)] == list(range(1, saved + 1))
    train(tmp_path, SHORT, show_progress=False)
    check_same_training(tmp_path, straight[0])
