"""Options that are more than one word of typer's."""

import numpy as np
import pytest

import memory_attention as ma
from command_line import run
from memory_attention.inputs import draw_inputs
from memory_attention.options import grid_option, pair_of


def test_pairs():
    assert pair_of("3,11", "query", "ROW,COLUMN") == (3, 11)
    assert grid_option("2,3") == (2, 3)
    assert grid_option(None) is None


@pytest.mark.parametrize("words", ["3", "3,4,5", "3;4", "a,b", "", "0,4", "4,-1"])
def test_what_is_no_grid(words):
    with pytest.raises(ValueError, match=f"grid is '{words}', expected"):
        grid_option(words)


def test_the_grid_of_inputs_that_do_not_say(capfd, tmp_path):
    config = ma.load_config("tiny")
    inputs = draw_inputs(config, memories=2, grid=(2, 3))
    path, out = tmp_path / "in[1].npz", tmp_path / "out[red].npz"
    np.savez(path, **{k: v for k, v in inputs._asdict().items() if v is not None and k != "grid"})
    status, _, err = run(capfd, "run", "--config", "tiny", "--inputs", path, "--output", out)
    assert status == 2
    assert "give the grid (h, w)" in err
    status, said, _ = run(capfd, "run", "--config", "tiny", "--inputs", path, "--output", out, "--grid", "2,3")
    assert status == 0
    assert "out[red].npz" in said.replace("\n", "")
    np.testing.assert_array_equal(np.load(out)["out"], ma.load("tiny", "reference")(*inputs))
