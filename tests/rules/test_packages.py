"""A package that is missing is named, with what to type."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("missing", "call", "extra"),
    [
        ("torch", "import memory_attention as ma; ma.load('tiny', 'accelerated')", "accelerated"),
        ("matplotlib", "import memory_attention.pictures.attention", "notebooks"),
        (
            "skimage",
            "from memory_attention.pictures.photographs import load_photograph as f; f('coffee')",
            "notebooks",
        ),
    ],
)
def test_a_missing_dependency_names_the_extra(missing, call, extra):
    # A process of its own: what was imported before would be found.
    code = f"import sys; sys.modules[{missing!r}] = None; {call}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last_line = ran.stderr.strip().splitlines()[-1]
    assert last_line.startswith("ModuleNotFoundError")
    assert f"in a clone of this project type: pip install '.[{extra}]'" in last_line
