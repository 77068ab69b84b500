"""The gradients by hand stand beside their steps: the same file names, the same names within them."""

import ast
import re
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[2] / "reference"
FILES = sorted(path.name for path in (ROOM / "backward").glob("[!_]*.py"))


def public(path):
    """The names of a file's functions and classes, in the spelling of functions."""
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    names = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    snake = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in names]
    return {name for name in snake if not name.startswith("_")}


def steps(path, end):
    return {name.removesuffix(end) for name in public(path) if name.endswith(end)}


@pytest.mark.parametrize("file", FILES)
def test_every_backward_stands_beside_its_step(file):
    backward = ROOM / "backward" / file
    assert steps(backward, "_forward") <= steps(backward, "_backward") <= public(ROOM / file)


@pytest.mark.parametrize("file", FILES)
def test_every_derivation_is_there(file):
    tree = ast.parse((ROOM / "backward" / file).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.endswith("_backward"):
            assert ast.get_docstring(node), node.name


def test_every_step_with_something_to_differentiate_has_one():
    steps_of_the_book = {path.name for path in ROOM.glob("*.py") if '"""Step ' in path.read_text(encoding="utf-8")}
    assert steps_of_the_book - set(FILES) == {"memory_bank.py"}
    for path in ROOM.glob("*.py"):
        if path.name in FILES:
            first = path.read_text(encoding="utf-8").splitlines()[0]
            step = re.match(r'"""Step \d', first)
            ours = (ROOM / "backward" / path.name).read_text(encoding="utf-8")
            assert step is None or ours.startswith(f"{step[0]}, backwards: "), path
