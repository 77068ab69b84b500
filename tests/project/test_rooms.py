"""The rooms: who imports whom, how long a file is, and where the test of a file is."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = ROOT / "pyproject.toml"
ROOMS = tomllib.loads(PYPROJECT.read_text())["tool"]["setuptools"]["package-dir"]
LONGEST_FILE = 300


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folders as one package: the mapping hides it in a checkout."""
    folder = tmp_path_factory.mktemp("installed")
    for name, room in ROOMS.items():
        ignored = shutil.ignore_patterns("__pycache__", "results")
        shutil.copytree(ROOT / room, folder / name.replace(".", "/"), ignore=ignored, dirs_exist_ok=True)
    return folder


def lint(folder):
    code = "from importlinter.cli import lint_imports_command as lint; lint()"
    words = [sys.executable, "-c", code, "--no-cache", PYPROJECT]
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_rooms_obey_their_plan(installed):
    done = lint(installed)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("rules/grids.py", "from ..model import load", "a room imports only rooms below it"),
        ("reference/norm.py", "from ..accelerated import norm", "a room imports only rooms below it"),
        ("reference/norm.py", "import torch", "a reader of the reference needs NumPy alone"),
        ("backends/protocol.py", "from .finding import find_backend", "no circles"),
    ],
)
def test_a_forbidden_import_is_noticed(file, line, broken, installed):
    path = installed / "memory_attention" / file
    sound = path.read_text()
    path.write_text(f"{sound}\n{line}\n")
    try:
        done = lint(installed)
    finally:
        path.write_text(sound)
    assert done.returncode == 1, done.stderr
    assert any(row.startswith(broken) and row.endswith("BROKEN") for row in done.stdout.splitlines()), done.stdout


def test_importing_is_light():
    """NumPy alone reads and runs the reference: nothing heavy is imported."""
    code = (
        "import sys, memory_attention as ma; ma.load('tiny'); import memory_attention.reference;"
        "heavy = {'torch', 'matplotlib', 'skimage', 'typer', 'rich', 'scipy', 'transformers'};"
        "heavy = (heavy | {'onnx', 'onnxruntime'}) & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_file_is_long():
    for room in (*ROOMS.values(), "tests"):
        for path in (ROOT / room).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= LONGEST_FILE, path


def test_a_test_is_named_after_what_it_tests():
    """`test_model_numbers.py` tests `model.py`. But for those of both backends, and of the project as a whole."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        room, file = path.parent.relative_to(ROOT / "tests"), path.stem.removeprefix("test_")
        words = file.split("_")
        names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
        tested = [ROOT / room / place for name in names for place in (f"{name}.py", f"{name}/__init__.py")]
        assert str(room) in ("equivalence", "project") or any(place.is_file() for place in tested), path
