"""maps and compare-photograph, run as their users run them."""

import pytest

from command_line import check_refused, run, write_inputs


@pytest.fixture
def npz(tmp_path):
    return write_inputs(tmp_path / "inputs.npz")


def test_maps(capfd, npz, tmp_path):
    output = tmp_path / "maps.png"
    words = ["maps", "--config", "tiny", "--output", output, "--layer", 0, "--query", "1,2"]
    for more in (["--inputs", npz], ["--inputs", npz, "--kind", "self"], ["--photograph", "coffee"]):
        status, out, _ = run(capfd, *words, *more)
        assert status == 0
        assert "weights are random" in out
        assert output.read_bytes().startswith(b"\x89PNG")
        output.unlink()


def test_compare_photograph(capfd, tmp_path):
    status, out, _ = run(capfd, "compare-photograph", "--config", "tiny", "--output", tmp_path / "attention.png")
    assert status == 0
    assert "25 of 25 steps inside their bounds" in out
    assert (tmp_path / "attention.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--query", "9,9"], "query is '9,9'"),
        (["--photograph", "dog"], "photograph is 'dog'"),
        (["--kind", "both"], "'both'"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(words, message, capfd, tmp_path):
    check_refused(capfd, message, "maps", "--config", "tiny", *words, "--output", tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
