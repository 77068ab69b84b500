"""`train`, killed, told to end and interrupted: what it prints then goes on."""

import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager
from importlib import resources

import pytest
import yaml

from command_line import check_refused, run
from memory_attention.tracker import read_tracker
from memory_attention.tracker.learning import training
from memory_attention.tracker.learning.log import LOG, read_log

pytest.importorskip("skimage", reason="the clips are made of scikit-image's photographs")

WAITING = """
import sys
from memory_attention import cli
from memory_attention.tracker.learning.training import Training

advance = Training.advance

def told(training):
    row = advance(training)
    print(row["step"], flush=True)
    sys.stdin.readline()
    return row

Training.advance = told
cli.main()
"""


@contextmanager
def running(steps, *words):
    """`memory-attention train`, which waits after so many steps."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-c", WAITING, *map(str, words)]
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            for step in range(1, steps + 1):
                assert process.stdout.readline() == f"{step}\n", process.stderr.read()
                if step < steps:
                    process.stdin.write("\n")
                    process.stdin.flush()
            yield process
        finally:
            process.kill()


@pytest.fixture
def small(tmp_path):
    """The words for a small tracker, in a folder and by a config with names that a shell would not leave alone."""
    config = yaml.safe_load(resources.files("memory_attention.configs").joinpath("tracker.yaml").read_text())
    network = config["model"]["memory_attention"]
    network |= {"d_model": 8, "num_layers": 1}
    network["layer"] |= {"d_model": 8, "dim_feedforward": 12}
    for name in ("self_attention", "cross_attention"):
        network["layer"][name] |= {"embedding_dim": 8, "feat_sizes": [4, 4]}
    network["layer"]["cross_attention"]["kv_in_dim"] = 8
    config["model"]["backbone_stride"] = 32
    path = tmp_path / "it's my $config.yaml"
    path.write_text(yaml.safe_dump(config))
    return "train", "--output", tmp_path / "the [red] one; *", "--config", path, "--steps", 2, "--seed", 5


def check_goes_on(capfd, err, folder):
    """What was printed is a command that ends the training."""
    said, again = err.splitlines()[0].split("; to go on: ")
    assert said == "stopped after step 1 of 2, which is saved"
    assert [row["step"] for row in read_log(folder / LOG)] == [1]
    program, *words = shlex.split(again)
    assert program == "memory-attention"
    assert run(capfd, *words)[0] == 0
    assert [row["step"] for row in read_log(folder / LOG)] == [1, 2]
    made_by = read_tracker(folder / "weights.safetensors")[2]
    assert (made_by["steps"], made_by["seed"]) == ("2", "5")


@pytest.mark.heavy
def test_killed_and_told_to_end(capfd, small):
    """One that runs locks the folder, one that was killed does not; one that is told to end says how to go on."""
    with running(1, *small) as process:
        check_refused(capfd, "another training is running in", *small)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert (small[2] / training.LOCK).exists()
    with running(1, *small) as process:
        process.terminate()
        _, err = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, err
    check_goes_on(capfd, err, small[2])


def test_interrupted_by_hand(capfd, small, monkeypatch):
    advance = training.Training.advance

    def once(self):
        advance(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training.Training, "advance", once)
        status, _, err = run(capfd, *small)
    assert status == 130
    check_goes_on(capfd, err, small[2])


def test_a_worker_that_ended_is_told_with_how_to_go_on(capfd, small, monkeypatch):
    """By one worker, as two may have been too many."""
    advance = training.Training.advance

    def once(self):
        advance(self)
        raise ChildProcessError("a worker ended")

    with monkeypatch.context() as patch:
        patch.setattr(training.Training, "advance", once)
        status, _, err = run(capfd, *small)
    assert status == 2
    assert "a worker ended" in err
    assert " --workers 1 " in err
    check_goes_on(capfd, err, small[2])
