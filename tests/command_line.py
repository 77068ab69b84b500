"""The command line, run as its users run it."""

import sys

import pytest

from memory_attention import cli


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
