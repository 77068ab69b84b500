"""The command line, run as its users run it."""

import sys

import numpy as np
import pytest

import memory_attention as ma
from memory_attention import cli
from memory_attention.inputs import draw_inputs


def run(capfd, *words):
    """Exit status, stdout and stderr of `memory-attention` with these words."""
    sys_argv, sys.argv = sys.argv, ["memory-attention", *map(str, words)]
    try:
        with pytest.raises(SystemExit) as stop:
            cli.main()
    finally:
        sys.argv = sys_argv
    out, err = capfd.readouterr()
    return stop.value.code, out, err


def check_refused(capfd, message, *words):
    """These words get one line of error, with that message, and status 2."""
    status, _, err = run(capfd, *words)
    assert status == 2
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def write_inputs(path):
    """Inputs of the config `tiny`, of two objects and two memories, in an .npz file."""
    inputs = draw_inputs(ma.load_config("tiny"), memories=2, objects=2)
    np.savez(path, **{name: value for name, value in inputs._asdict().items() if value is not None})
    return path
