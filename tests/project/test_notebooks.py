"""Every notebook is what its script says, runs from a clean kernel in either backend, and has its outputs."""

import itertools
import re

import nbformat
import pytest

from making import FOLDER, METADATA, SCRIPTS, product, read, run

FIRST_CELL = 'BACKEND = "reference"'

each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)


def committed(script):
    return nbformat.read(product(script), as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(script):
    return "\n\n".join(cell.source for cell in read(script).cells if cell.cell_type == "markdown")


def kinds(outputs):
    """The kinds of outputs in their order; what is printed may come in one piece or in several."""
    return [kind for kind, _ in itertools.groupby(output.output_type for output in outputs)]


def test_every_notebook_has_a_script():
    assert {product(script) for script in SCRIPTS} == set(FOLDER.glob("*.ipynb"))


@each_script
def test_it_is_made_of_its_script(script):
    """But for outputs, which the script does not have; nothing says when it was run, or by what."""
    notebook = committed(script)
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    assert notebook.metadata == METADATA
    assert notebook == read(script)


@pytest.mark.filterwarnings("default")
@each_script
@pytest.mark.parametrize("backend", ["reference", pytest.param("accelerated", marks=pytest.mark.heavy)])
def test_it_runs_from_a_clean_kernel(script, backend):
    notebook = read(script)
    code_cells(notebook)[0].source = f'BACKEND = "{backend}"'
    run(notebook)
    for fresh, shown in zip(code_cells(notebook), code_cells(committed(script)), strict=True):
        streams = [output for output in fresh.outputs if output.get("name") == "stderr"]
        assert not streams, streams
        if backend == "reference":
            assert kinds(fresh.outputs) == kinds(shown.outputs), fresh.source


@each_script
def test_the_flag_is_the_only_thing_to_change(script):
    sources = [cell.source for cell in code_cells(read(script))]
    assert sources[0] == FIRST_CELL
    assert not any(re.search(r"^BACKEND\s*=", source, re.MULTILINE) for source in sources[1:])


@each_script
def test_it_is_committed_with_pictures_and_without_errors(script):
    outputs = [output for cell in code_cells(committed(script)) for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    pictures = [output for output in outputs if {"image/png", "image/gif"} & set(output.get("data", {}))]
    assert len(pictures) >= 3
    assert product(script).stat().st_size < 3e6


@each_script
def test_it_says_what_it_found_and_answers_its_exercises(script):
    printed = [
        output.text for cell in code_cells(committed(script)) for output in cell.outputs if "text" in output
    ]
    assert sum(text.count("Found: ") for text in printed) >= 5
    questions, answers = prose(script).split("To try")[-1].split("<summary>Answers</summary>")
    asked, answered = (re.findall(r"^(\d)\. ", text, re.MULTILINE) for text in (questions, answers))
    assert asked == answered == list("123")
    assert answers.strip().endswith("</details>")


@each_script
def test_its_links_lead_somewhere(script):
    for target in re.findall(r"\]\((?!http)([^)]+)\)", prose(script)):
        path, _, place = target.partition("#")
        assert (FOLDER / path).is_file(), target
        headings = re.findall(r"^#+ (.+)$", (FOLDER / path).read_text(encoding="utf-8"), re.MULTILINE)
        assert not place or place in [re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings]
