"""A wheel built from the tree adds one top-level name, and runs on NumPy and a few small packages."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import memory_attention as ma

ROOT = Path(__file__).parents[2]
RUN = """
import importlib.util
import memory_attention as ma
from memory_attention.inputs import draw_inputs
for name in ma.available_configs():
    ma.load_config(name)
config = ma.load_config("tiny")
absent = ("torch", "matplotlib", "skimage", "PIL", "configs", "reference", "api")
assert not any(map(importlib.util.find_spec, absent))
print(ma.load(config)(*draw_inputs(config)).shape, len(ma.available_configs()))
"""
CLIP = """
import numpy as np
masks = np.zeros((2, 128, 128), bool)
masks[:, 30:60, 40:90] = True
np.savez("clip.npz", frames=np.random.default_rng(0).random((2, 128, 128, 3)), mask=masks[0], masks=masks)
"""
COMMANDS = (
    ("track", "--frames", "clip.npz", "--no-page", "--no-picture", "--output", "tracked"),
    ("evaluate", "--frames", "clip.npz", "--output", "figures.json"),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built without a network: the build's own needs are installed already."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    source = folder / "source"
    for name in tracked.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_one_top_level_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"memory_attention"}
    assert "memory_attention/py.typed" in names
    assert sum(name.endswith(".yaml") for name in names) == len(ma.available_configs())


@pytest.mark.heavy
def test_it_runs_in_an_empty_environment(wheel, tmp_path):
    """The bare install: no torch, no matplotlib, no scikit-image, no Pillow."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "-c", constraints, wheel], check=True, capture_output=True
    )
    done = subprocess.run([python, "-c", RUN], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"(16, 1, 16) {len(ma.available_configs())}"
    for words in ((python, "-c", CLIP), *((python, "-m", "memory_attention", *words) for words in COMMANDS)):
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "tracked" / "masks.npz").is_file()
    assert (tmp_path / "figures.json").is_file()
    done = subprocess.run([python, "-m", "memory_attention", "evaluate"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "a held-out clip needs skimage; in a clone of this project type: pip install" in done.stderr


def test_the_bare_install_is_small(wheel):
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    bare = [line.split(": ")[1] for line in lines if line.startswith("Requires-Dist") and "extra ==" not in line]
    names = {requirement.split(">")[0] for requirement in bare}
    assert names == {"numpy", "pyyaml", "pydantic", "jaxtyping", "safetensors", "typer", "rich"}
