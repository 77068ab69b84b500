"""The command line as a whole."""

import subprocess
import sys
from types import ModuleType

import pytest
from typer.testing import CliRunner

from command_line import check_refused, run
from memory_attention import cli
from memory_attention.__main__ import main as start


def test_every_command_has_help_with_an_example():
    for command in cli.app.registered_commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        result = CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": "200"})
        assert result.exit_code == 0
        assert f"Example: memory-attention {name}" in result.output


def test_python_m():
    done = subprocess.run([sys.executable, "-m", "memory_attention", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "compare" in done.stdout


def test_an_unknown_command_is_named(capfd):
    check_refused(capfd, "nonsense", "nonsense")


@pytest.mark.parametrize("length", [7, 5000])
def test_a_name_with_terminal_codes_is_one_short_line(capfd, length):
    name = "\x1b[31m\n" + "n" * length + ".safetensors"
    status, _, err = run(capfd, "run", "--config", "tiny", "--output", "never.npz", "--weights", name)
    assert status == 2
    assert err.startswith("error: ")
    assert len(err) < 1000
    assert err[:-1].isprintable()


def test_an_interrupt_while_it_starts_is_one_line(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "memory_attention.cli", Interrupted("memory_attention.cli"))
    with pytest.raises(SystemExit) as stop:
        start()
    assert stop.value.code == 130
    assert capfd.readouterr().err == "error: interrupted\n"


class Interrupted(ModuleType):
    """A module in whose import Ctrl-C is pressed."""

    def __getattr__(self, name):
        raise KeyboardInterrupt
