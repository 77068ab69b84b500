"""`make gpu` without a GPU: it says so, and what it would run is there."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memory_attention import cli
from memory_attention.accelerated.kernels import KERNELS
from memory_attention.benchmarks import gpu

ROOT = Path(__file__).parents[2]


def test_without_a_gpu_it_says_so_and_exits_2(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu.main() == 2
    assert "no GPU" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_every_kernel_that_a_gpu_can_have_is_run():
    asked = {words[words.index("--kernel") + 1] for words in gpu.suite_runs("cuda") if "--kernel" in words}
    assert asked == set(KERNELS) - {"tiled"}


def test_pytest_knows_the_words():
    words = [word for run in gpu.suite_runs("cpu") for word in run]
    paths = {word for word in words if word.startswith("tests/")}
    assert paths
    assert all((ROOT / path).exists() for path in paths)
    options = [word for word in words if word not in paths]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", __file__, *options]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0


@pytest.mark.parametrize("words", gpu.bench_runs("cpu", "card"), ids=lambda words: words[4])
def test_the_command_line_knows_the_words(words):
    assert CliRunner().invoke(cli.app, [*words, "--help"]).exit_code == 0


def test_a_run_is_counted(tmp_path):
    # Its own root: without it, names depend on where the checkout lies.
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_some.py").write_text(
        "import pytest\ndef test_right(): pass\ndef test_wrong(): assert False\n"
        "@pytest.mark.skip(reason='why')\ndef test_left_out(): pass\n"
    )
    counted = gpu.run_suite([str(tmp_path / "test_some.py")], 60, tmp_path)
    assert (counted["tests"], counted["failures"], counted["skipped"]) == (3, 1, 1)
    assert counted["failed"] == ["test_some::test_wrong"]
    assert counted["ended"] == "exit 1"
    assert gpu.run_suite([str(tmp_path / "test_some.py")], 0, tmp_path)["ended"].startswith("not run")
