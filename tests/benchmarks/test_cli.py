"""`bench` and its words."""

import json

from typer.testing import CliRunner

from memory_attention import cli


def run(*words):
    return CliRunner().invoke(cli.app, ["bench", "--config", "tiny", "--device", "cpu", *map(str, words)])


def test_a_config_that_the_peer_cannot_express_is_measured_without_it(tmp_path):
    path = tmp_path / "speed.json"
    done = run("--quick", "--turns", 1, "--output", path)
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert (
        "transformers is left out, and with it every ratio: transformers' memory attention knows no other" in said
    )
    assert "2×2, 3 memories, 1 object" in said
    cases = json.loads(path.read_text())["cases"]
    assert [(case["objects"], list(case["contenders"])) for case in cases] == [
        (1, ["fast"]),
        (3, ["fast", "one by one"]),
    ]
    # All is there, so nothing is measured again.
    before = path.read_bytes()
    assert run("--quick", "--turns", 1, "--output", path, "--resume").exit_code == 0
    assert path.read_bytes() == before


def test_quick_has_nothing_to_plot(tmp_path):
    done = run("--quick", "--plot", tmp_path / "speed.png")
    assert done.exit_code != 0
    assert "plot is set, and quick too" in str(done.exception)
    assert not list(tmp_path.iterdir())
