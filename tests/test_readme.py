"""What the README shows is true: its Python runs and prints what it says, its commands are there."""

import contextlib
import io
import re
from pathlib import Path

from memory_attention import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_runs_and_prints_what_it_says():
    printed, namespace = io.StringIO(), {}
    with contextlib.redirect_stdout(printed):
        for block in blocks("python"):
            exec(block, namespace)
    promised = [
        line.split("#", 1)[1].strip() for b in blocks("python") for line in b.splitlines() if "print(" in line
    ]
    assert promised
    assert printed.getvalue().splitlines() == promised


def test_the_commands_are_there():
    commands = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    shown = re.findall(r"^memory-attention (\S+)", "\n".join(blocks("sh")), re.MULTILINE)
    assert shown
    assert set(shown) <= commands
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^make (\w+)", "\n".join(blocks("sh")), re.MULTILINE)) <= set(targets)


def test_the_links_and_folders_are_there():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).is_file(), target
    for folder in re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder
