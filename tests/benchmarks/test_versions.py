"""The suite in environments of several versions: what was asked, what was there, what it said."""

import ast
import json
import sys
from pathlib import Path

import pytest

from memory_attention.benchmarks import versions
from memory_attention.benchmarks.markdown import versions_table

ROOT = Path(__file__).parents[2]


def test_what_is_listed_can_be_asked_of_pip():
    for python, *packages in versions.COMBINATIONS:
        assert python.startswith("python3.")
        assert {package.partition("==")[0] for package in packages} <= set(versions.SHOWN)
    assert all((ROOT / path).is_dir() for path in versions.SUITE)


def test_a_python_that_is_not_there_is_named():
    said = versions.measure_combination(("python3.999", "torch"))
    assert said == {"asked": ["python3.999", "torch"], "ended": "not run: there is no python3.999 here"}


def test_what_pip_complains_of_is_kept(monkeypatch):
    """In an environment of its own, which is gone afterwards; nothing is looked up anywhere."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    made = []
    install = versions.install
    monkeypatch.setattr(versions, "install", lambda *words: made.append(words[1]) or install(*words))
    said = versions.measure_combination((sys.executable, "a-package-that-nobody-has==3.1"))
    assert said["ended"].startswith("not installed: ERROR: No matching distribution found for a-package-that")
    assert not made[0].exists()


def test_what_the_suite_said_stands_beside_the_versions(monkeypatch, tmp_path):
    """The environment is this one; a combination that is asked again takes its own place."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_some.py").write_text("def test_right(): pass\ndef test_wrong(): assert False\n")
    monkeypatch.setattr(versions, "SUITE", [str(tmp_path / "test_some.py")])
    monkeypatch.setattr(versions, "FILE", tmp_path / "versions.json")
    monkeypatch.setattr(versions, "install", lambda python, installed, packages: link(installed))
    earlier = [{"asked": ["python3.999"], "ended": "not run"}, {"asked": [sys.executable, "some"], "ended": "old"}]
    versions.FILE.write_text(json.dumps({"combinations": earlier}))
    assert versions.main([sys.executable, "some"]) == 1
    first, said = json.loads(versions.FILE.read_text())["combinations"]
    assert first == earlier[0]
    assert said["asked"] == [sys.executable, "some"]
    assert (said["tests"], said["failures"], said["ended"]) == (2, 1, "exit 1")
    assert said["failed"] == ["test_some::test_wrong"]
    assert said["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"numpy", "torch"} <= said.keys()


def link(installed):
    """A Python that is this one: a script, since a link would not find its packages."""
    installed.parent.mkdir()
    installed.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    installed.chmod(0o755)


def test_the_table_has_a_row_for_every_run():
    run = {"python": "3.11.7", "torch": "2.9.0", "transformers": "5.0.0", "tests": 9, "failures": 0, "errors": 0}
    result = {
        "combinations": [
            run | {"skipped": 2},
            {"asked": ["python3.999"], "ended": "not run"},
            run | {"onnxruntime": "1.32.0", "failures": 1, "errors": 2, "skipped": 0},
        ]
    }
    assert versions_table(result).splitlines()[2:] == [
        "| 3.11.7 | 2.9.0 | 5.0.0 |  | 7 passed |",
        "| 3.11.7 | 2.9.0 | 5.0.0 | 1.32.0 | 6 passed, 3 failed |",
    ]


def test_what_the_suite_imports_is_installed():
    """Each package that a test of the suite imports comes with what is installed."""
    needs = {
        need.partition(">=")[0].replace("-", "_") for need in versions.needed(of_the_suite=versions.OF_THE_SUITE)
    }
    own = {path.stem for path in (ROOT / "tests").glob("*.py")} | {"memory_attention", "tests"}
    come_along = {"PIL", "hydra", "omegaconf", "jaxtyping"}
    for folder in versions.SUITE:
        for path in (ROOT / folder).rglob("*.py"):
            nodes = ast.parse(path.read_text()).body
            imported = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
            imported |= {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
            tops = {name.partition(".")[0] for name in imported} - own - come_along - sys.stdlib_module_names
            assert tops <= needs, path


@pytest.mark.parametrize("word", ["torch", "transformers", "pytest", "hydra-core", "onnx", "onnxruntime"])
def test_what_the_suite_needs_is_installed(word):
    needs = versions.needed(of_the_suite=versions.OF_THE_SUITE)
    assert any(need.startswith(f"{word}>=") for need in needs)
