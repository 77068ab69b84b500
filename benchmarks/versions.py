"""What works with which versions: the suite in a fresh environment for each combination of packages.

Run from a checkout, as `make versions` does: `python -m memory_attention.benchmarks.versions`. Words are one
combination instead of the listed ones: `… versions python3.12 torch==2.9.* transformers==5.1.*`. Each is a
virtual environment in a temporary folder, made with the machine's own pip and what that is set to.
"""

import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import write_json
from .gpu import RESULTS, run_suite
from .gpu_needs import needed

NEWEST = "torch==2.13.0"
COMBINATIONS: tuple[tuple[str, ...], ...] = (
    ("python3.11", "torch==2.9.*", "transformers"),
    ("python3.11", NEWEST, "transformers==5.1.*"),
    ("python3.11", NEWEST, "transformers"),
    ("python3.12", NEWEST, "transformers"),
)
"""A Python, and packages as pip takes them; the models of video in transformers 5.0 do not run."""

SUITE = ("tests/integrations", "tests/equivalence")
OF_THE_SUITE = (
    *("torch", "filelock", "transformers", "onnx", "onnxruntime"),
    *("beartype", "hydra-core", "hypothesis", "pillow", "pytest"),
)
SHOWN = ("torch", "transformers", "onnxruntime", "numpy")
SECONDS = 1800.0
FILE = RESULTS / "versions.json"


def measure_combination(words: Sequence[str]) -> dict[str, Any]:
    """What the suite says with these versions, or why it could not be run."""
    python, *packages = words
    found = shutil.which(python)
    if found is None:
        return {"asked": list(words), "ended": f"not run: there is no {python} here"}
    with tempfile.TemporaryDirectory() as folder:
        installed = Path(folder) / "bin" / "python"
        complaint = install(found, installed, packages)
        if complaint is not None:
            return {"asked": list(words), "ended": f"not installed: {complaint}"}
        said = run_suite(SUITE, SECONDS, Path(folder), str(installed))
        return {"asked": list(words), **versions_of(installed), **said}


def install(python: str, installed: Path, packages: Sequence[str]) -> str | None:
    """Make an environment with these packages, the suite's and this one; what pip complained of, or none."""
    pip = [str(installed), "-m", "pip", "install", "--quiet"]
    needs = needed(of_the_suite=OF_THE_SUITE)
    commands = [
        [python, "-m", "venv", str(installed.parents[1])],
        [*pip, *packages, *needs],
        [*pip, "--no-deps", "--no-build-isolation", "."],
    ]
    for command in commands:
        print(" ".join(command), flush=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
            return (errors or done.stderr.splitlines() or [f"exit {done.returncode}"])[-1]
    return None


def versions_of(python: Path) -> dict[str, str]:
    """The versions of that Python and of the packages that it has."""
    code = (
        "import json, platform; from importlib.metadata import distributions;"
        "print(json.dumps({'python': platform.python_version()}"
        " | {found.name: found.version for found in distributions()}))"
    )
    said = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    every = json.loads(said.stdout)
    return {name: every[name] for name in ("python", *SHOWN) if name in every}


def main(words: Sequence[str]) -> int:
    """Run the listed combinations, or the one of these words, and keep what is said of each in the file."""
    combinations = [tuple(words)] if words else COMBINATIONS
    done = json.loads(FILE.read_text())["combinations"] if FILE.is_file() else []
    for combination in combinations:
        said = measure_combination(combination)
        done = [one for one in done if one["asked"] != said["asked"]] + [said]
        write_json(FILE, {"system": f"{platform.system()} {platform.machine()}", "combinations": done})
        print(f"{' '.join(combination)}: {said['ended']}, {said.get('failures', 0)} failures → {FILE}")
    return 0 if all(one["ended"] == "exit 0" for one in done) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
