"""Processes that train together: the same weights, and none is left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from memory_attention.tracker import read_tracker
from memory_attention.tracker.learning.log import LOG, read_log
from memory_attention.tracker.learning.recipe import Recipe
from memory_attention.tracker.learning.training import train
from memory_attention.tracker.learning.workers import Workers

pytest.importorskip("skimage", reason="the clips are made of scikit-image's photographs")

SHORT = Recipe(steps=2, frames=4, lengths=(2, 3), warmup=2)
SECONDS = 30

WAITING = """
import multiprocessing, sys, threading, time
from memory_attention.tracker.learning.recipe import Recipe
from memory_attention.tracker.learning.training import Training
from memory_attention.tracker.learning.workers import Workers

training = Training(Recipe(steps=2, frames=4, lengths=(2,)))

def tell():
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.01)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)

threading.Thread(target=tell).start()
with Workers(training.unrolled, 2) as training.parts_from:
    training.advance()
    print("a step", flush=True)
    sys.stdin.readline()
"""


def test_workers_come_to_the_same_weights(tmp_path):
    """Both parts of a step with two clips, and the one part of a step with a single clip."""
    alone, together = (
        read_tracker(train(tmp_path / str(workers), SHORT, show_progress=False, workers=workers))[1]
        for workers in (1, 2)
    )
    for name, array in alone.items():
        np.testing.assert_array_equal(together[name], array, err_msg=name)
    assert not multiprocessing.active_children()
    rows = [read_log(tmp_path / name / LOG) for name in ("1", "2")]
    assert [row | {"seconds": 0} for row in rows[0]] == [row | {"seconds": 0} for row in rows[1]]


@pytest.mark.parametrize("workers", [0, 3, 1.5])
def test_other_numbers_of_workers_are_refused_before_work(tmp_path, workers):
    with pytest.raises((TypeError, ValueError), match=f"workers is {workers}"):
        train(tmp_path / "new", replace(SHORT, seed=1), workers=workers)
    assert not (tmp_path / "new").exists()


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.heavy
@pytest.mark.parametrize(("steps", "how"), [(1, signal.SIGKILL), (1, signal.SIGINT), (0, signal.SIGINT)])
def test_workers_end_with_the_training(steps, how):
    """Killed, it could tell them nothing; interrupted, it alone says so, while they start as well."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", WAITING], text=True, **pipes) as process:
        workers = [int(word) for word in process.stdout.readline().split()]
        assert len(workers) == 2
        assert all(process.stdout.readline() == "a step\n" for _ in range(steps))
        assert all(map(alive, workers))
        for each in [process.pid] if how == signal.SIGKILL else [process.pid, *workers]:
            os.kill(each, how)
        _, err = process.communicate(timeout=SECONDS)
    until = time.monotonic() + SECONDS
    while any(map(alive, workers)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(alive, workers))
    assert err.count("Traceback") == (how == signal.SIGINT)


def test_a_worker_that_ends_is_told_in_words(tmp_path, monkeypatch):
    """And what was reached is saved."""
    whole = Workers.parts

    def without_one(workers, step):
        if step == 1:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        return whole(workers, step)

    monkeypatch.setattr(Workers, "parts", without_one)
    with pytest.raises(ChildProcessError, match="a worker ended at step 2, .* by one worker too"):
        train(tmp_path, SHORT, show_progress=False, workers=2)
    assert [row["step"] for row in read_log(tmp_path / LOG)] == [1]
    monkeypatch.undo()
    assert read_tracker(train(tmp_path, SHORT, show_progress=False))[2]["steps"] == "2"
