"""Makes the notebooks of their scripts and runs them: `make notebooks`. The scripts are the source."""

import hashlib
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
SCRIPTS = sorted((FOLDER / "scripts").glob("*.py"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class ThisPython(AsyncKernelManager):
    """Starts the kernel with the running interpreter, whatever kernels are installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        command = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="this Python", language="python")


def product(script: Path) -> Path:
    """The notebook that is made of a script."""
    return FOLDER / f"{script.stem}.ipynb"


def read(script: Path) -> NotebookNode:
    """The notebook of a script, not yet run: nothing in it depends on when or where it is made."""
    notebook = jupytext.read(script, fmt="py:percent")
    notebook.metadata, notebook.nbformat, notebook.nbformat_minor = NotebookNode(METADATA), 4, 5
    seen: list[str] = []
    for cell in notebook.cells:
        # A cell is named by what it says, so that a new one renames no other.
        name = hashlib.sha256(cell.source.encode()).hexdigest()[:12]
        cell.id = f"{name}-{seen.count(name)}"
        cell.metadata = NotebookNode()
        seen.append(name)
    return notebook


def run(notebook: NotebookNode) -> None:
    """Run all cells in a new kernel, as from the folder of the notebooks; the outputs are put into it."""
    NotebookClient(
        notebook,
        timeout=300,
        kernel_manager_class=ThisPython,
        resources={"metadata": {"path": str(FOLDER)}},
        record_timing=False,
        coalesce_streams=True,
    ).execute()
    notebook.metadata = NotebookNode(METADATA)


def main(wanted: list[str]) -> None:
    """Make and run all notebooks, or those whose names begin with a word of `wanted`."""
    for script in SCRIPTS:
        if not wanted or script.name.startswith(tuple(wanted)):
            start = time.perf_counter()
            notebook = read(script)
            run(notebook)
            nbformat.write(notebook, product(script))
            print(f"{product(script).name}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
