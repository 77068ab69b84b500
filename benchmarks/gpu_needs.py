"""What `make gpu` needs beside the machine's Python, asked before anything is built. The standard library alone.

Run as a script from a checkout: `python benchmarks/gpu_needs.py FOLDER`. What is missing goes from `wheels/`,
which `make gpu-wheels` filled on a machine with a network, into the folder; else it is named, and the exit is 2.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[1]
WHEELS = Path("wheels")
OF_THE_SUITE = ("torch", "hypothesis", "pytest", "transformers")


def needed(project: Path = ROOT / "pyproject.toml", of_the_suite: Collection[str] = OF_THE_SUITE) -> list[str]:
    """What the package, its build and these packages of its extras ask for, as `name>=version`."""
    tables = tomllib.loads(project.read_text())
    extras = tables["project"]["optional-dependencies"]
    named = [need for extra in extras.values() for need in extra if re.split("[>=]", need)[0] in of_the_suite]
    return [*tables["build-system"]["requires"], *tables["project"]["dependencies"], *named]


def is_met(need: str) -> bool:
    """Whether the machine has the package in that version or a newer one."""
    name, _, least = need.partition(">=")
    try:
        present = version(name)
    except PackageNotFoundError:
        return False
    return _numbers(present) >= _numbers(least)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", text)[:2]]


def main(folder: str) -> int:
    """Put what is missing into the folder, or say what it is; exit 2 where that cannot be done."""
    missing = [need for need in needed() if not is_met(need)]
    if not missing:
        return 0
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(WHEELS)]
    if WHEELS.is_dir() and subprocess.run([*command, "--target", folder, *missing]).returncode == 0:
        return 0
    print(
        f"error: this Python lacks {', '.join(missing)}: install that, or run `make gpu-wheels` where there is a "
        f"network and bring the folder {WHEELS}/ here",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
