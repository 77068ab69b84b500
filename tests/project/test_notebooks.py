"""Every notebook runs from a clean kernel in either backend, and is committed with its outputs."""

import itertools
import re
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
FIRST_CELL = 'BACKEND = "reference"'


class ThisPython(AsyncKernelManager):
    """Starts the kernel with the running interpreter, whatever kernels are installed."""

    @property
    def kernel_spec(self):
        command = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="this Python", language="python")


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(outputs):
    """The kinds of outputs in their order; what is printed may come in one piece or in several."""
    return [kind for kind, _ in itertools.groupby(output.output_type for output in outputs)]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", ["reference", "accelerated"])
def test_it_runs_from_a_clean_kernel(name, backend):
    committed, notebook = read(name), read(name)
    for cell in code_cells(notebook):
        cell.outputs = []
    code_cells(notebook)[0].source = f'BACKEND = "{backend}"'
    client = NotebookClient(
        notebook, timeout=300, kernel_manager_class=ThisPython, resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()
    for fresh, shown in zip(code_cells(notebook), code_cells(committed), strict=True):
        streams = [output for output in fresh.outputs if output.get("name") == "stderr"]
        assert not streams, streams
        if backend == "reference":
            assert kinds(fresh.outputs) == kinds(shown.outputs), fresh.source


@pytest.mark.parametrize("name", NAMES)
def test_the_flag_is_the_only_thing_to_change(name):
    notebook = read(name)
    sources = [cell.source for cell in code_cells(notebook)]
    assert sources[0] == FIRST_CELL
    assert not any(re.search(r"^BACKEND\s*=", source, re.MULTILINE) for source in sources[1:])


@pytest.mark.parametrize("name", NAMES)
def test_it_is_committed_with_pictures_and_without_errors(name):
    outputs = [output for cell in code_cells(read(name)) for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    pictures = [output for output in outputs if {"image/png", "image/gif"} & set(output.get("data", {}))]
    assert len(pictures) >= 3
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 3e6
