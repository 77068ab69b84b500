"""Photographs out of several packages' wheels become one folder, of which clips are made."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from memory_attention.cli import app
from memory_attention.tracker.media import unseen_photographs


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """Wheels with photographs of the real ones' names, in place of the real ones."""

    def fetch(package, folder):
        wheel = folder / f"{package}.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for member in unseen_photographs.UNSEEN[package]:
                image = tmp_path / Path(member).name
                noise = np.random.default_rng(len(member)).integers(0, 255, (250, 260, 3), np.uint8)
                Image.fromarray(noise).save(image)
                archive.write(image, member)
        return wheel

    monkeypatch.setattr(unseen_photographs, "fetch", fetch)


def test_they_are_written_and_clips_are_made_of_them(fetched, tmp_path):
    folder = tmp_path / "photographs"
    said = CliRunner().invoke(app, ["unseen-photographs", "--output", str(folder)])
    assert said.exit_code == 0, said.output
    names = [Path(member).name for members in unseen_photographs.UNSEEN.values() for member in members]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    options = ["--clips", "1", "--length", "2", "--backend", "reference"]
    figures = []
    for photographs in (["--photographs", str(folder)], []):
        result = tmp_path / f"{len(photographs)}.json"
        said = CliRunner().invoke(app, ["evaluate", *photographs, *options, "--output", str(result)])
        assert said.exit_code == 0, said.output
        figures.append(json.loads(result.read_text())["figures"])
    assert figures[0] != figures[1]
