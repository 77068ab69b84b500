"""What `make gpu` needs is asked before anything is built, and named."""

from importlib.metadata import version
from pathlib import Path

import pytest

from memory_attention.benchmarks import gpu_needs

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_what_is_needed_is_what_the_project_asks_for():
    names = {need.partition(">=")[0] for need in gpu_needs.needed(PROJECT)}
    assert {"setuptools", "numpy", "pydantic", "jaxtyping", *gpu_needs.OF_THE_SUITE} < names
    assert not names & {"matplotlib", "mypy", "pytest-xdist"}


@pytest.mark.parametrize(
    ("need", "met"),
    [
        ("pytest>=8.3", True),
        (f"pytest>={version('pytest')}", True),
        ("pytest>=900.1", False),
        ("numpy>=1.99", True),
        ("a-package-that-nobody-has>=1.0", False),
    ],
)
def test_a_version_is_compared_by_its_numbers(need, met):
    assert gpu_needs.is_met(need) is met


def test_what_is_missing_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gpu_needs, "needed", lambda: ["pytest>=8.3", "a-package-that-nobody-has>=1.0"])
    assert gpu_needs.main("there") == 2
    said = capsys.readouterr().err
    assert "this Python lacks a-package-that-nobody-has>=1.0: install" in said
    assert "make gpu-wheels" in said
    assert not list(tmp_path.iterdir())


def test_nothing_is_said_or_done_where_all_is_there(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gpu_needs, "needed", lambda: ["pytest>=8.3"])
    assert gpu_needs.main("there") == 0
    assert not any(capsys.readouterr())
    assert not list(tmp_path.iterdir())
