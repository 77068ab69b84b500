"""Everything that only a GPU can say, in one command: the suite for every kernel and dtype, then the benchmark.

Run from a checkout, as `make gpu` does: `python -m memory_attention.benchmarks.gpu`. Each part is a process of
its own with what is left of the time; what it did not reach is written down as such.
"""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..files import write_json

SECONDS = 600.0
SUITE_SECONDS = 330.0
RESULTS = Path("benchmarks/results")
KERNELS = ("pytorch", "cudnn", "efficient", "flash", "math", "textbook", "flex", "axial")
DTYPES = ("bfloat16", "float32", "float16")


def suite_runs(device: str) -> list[list[str]]:
    """The words of every run of pytest, the widest first."""
    whole = ["tests/equivalence", "tests/accelerated", "--device", device]
    each = ["tests/equivalence/test_equivalence.py", "--device", device]
    return [whole, *([*each, "--kernel", kernel] for kernel in KERNELS), [*each, "--compiled"]]


def bench_runs(device: str, card: str) -> list[list[str]]:
    """The words of every run of the benchmark."""
    return [
        ["bench", "--device", device, "--dtype", dtype, "--compiled", "--output", f"{RESULTS}/{card}_{dtype}.json"]
        for dtype in DTYPES
    ]


def run_suite(words: Sequence[str], seconds: float, folder: Path, python: str = sys.executable) -> dict[str, Any]:
    """Run that Python's pytest for so many seconds at most, and count what it said."""
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *words]
    ended = _run(command, seconds)
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    failed: list[str] = []
    if report.is_file():
        root = ElementTree.parse(report).getroot()
        for suite in root.iter("testsuite"):
            counts = {name: counts[name] + int(suite.get(name, 0)) for name in counts}
        wrong = (case for case in root.iter("testcase") if case.find("failure") is not None)
        failed = [f"{case.get('classname')}::{case.get('name')}" for case in wrong]
    return {"words": list(words), "ended": ended, **counts, "failed": failed}


def _run(command: Sequence[str], seconds: float) -> str:
    """Run a command and say how it ended."""
    if seconds <= 0:
        return "not run: no time was left"
    print(" ".join(command), flush=True)
    try:
        done = subprocess.run(command, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"stopped after {seconds:.0f} s"
    return f"exit {done.returncode}"


def card_name() -> str | None:
    """The name of the first CUDA device as part of a file's name, or none where there is no such device."""
    try:
        import torch
    except ModuleNotFoundError:
        return None
    if not torch.cuda.is_available():
        return None
    return re.sub(r"[^a-z0-9]+", "_", torch.cuda.get_device_name().lower()).strip("_")


def main() -> int:
    """Run all of it and write the suite's counts beside the benchmarks' results; exit 2 without a GPU."""
    card = card_name()
    if card is None:
        print("error: no GPU: PyTorch sees no CUDA device on this machine", file=sys.stderr)
        return 2
    from .machine import machine

    started = time.monotonic()
    RESULTS.mkdir(parents=True, exist_ok=True)
    suite = []
    for words in suite_runs("cuda"):
        left = SUITE_SECONDS - (time.monotonic() - started)
        suite.append(run_suite(words, left, RESULTS))
        write_json(RESULTS / f"{card}_suite.json", {"machine": machine("cuda"), "suite": suite})
    (RESULTS / "report.xml").unlink(missing_ok=True)
    command = [sys.executable, "-m", "memory_attention"]
    benches = [
        _run([*command, *words], SECONDS - (time.monotonic() - started)) for words in bench_runs("cuda", card)
    ]
    print(f"suite and benchmarks → {RESULTS}/{card}_*.json")
    return 0 if all(run["ended"] == "exit 0" for run in suite) and set(benches) == {"exit 0"} else 1


if __name__ == "__main__":
    sys.exit(main())
