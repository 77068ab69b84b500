"""A recording as a picture, and as a page in a browser, whoever made it."""

import numpy as np
import pytest

from command_line import check_refused, run
from memory_attention.looks import Look
from memory_attention.pictures.recorded import draw_look
from memory_attention.recording import Recording

GRID = (4, 6)


@pytest.fixture
def recording():
    """One frame of a call whose memories nobody knows, and one with two memories and a pointer."""
    rng = np.random.default_rng(1)

    def rows(keys):
        made = rng.random((2, 3, keys), np.float32)
        return {("cross", layer): made / made.sum(axis=-1, keepdims=True) for layer in (1, 2)}

    queries = np.array([1, 9, 22])
    unknown = Look(0, "box", GRID, queries, rows(24), frame_known=False)
    known = Look(7, "box", GRID, queries, rows(2 * 24 + 4), 4, (0, 6), (6,), (0,))
    made = Recording({"model": "Some"}, [unknown, known])
    return made.add_images({0: rng.random((8, 12, 3)), 7: rng.random((8, 12, 3))})


def titles(figure):
    return [axis.get_title() for axis in figure.axes if axis.get_title()]


def test_a_picture_names_the_frames(recording):
    row = recording.look(7).at_memory(2).mean(axis=0)[1]
    shares = [f"{part.sum():.1%}" for part in (row[:24], row[24:48], row[48:])]
    figure = draw_look(recording, query=(1, 3))
    assert titles(figure) == [
        "now; query at row 1, column 3",
        f"memory of frame 0: {shares[0]}",
        f"memory of frame 6: {shares[1]}",
    ]
    assert figure.get_suptitle() == f"Some, frame 7, object box, layer 2; object pointers take {shares[2]}"
    assert titles(draw_look(recording, frame=0, layer=0))[1:] == ["memory 1 of 1: 100.0%"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--frame", "3"], "frame 3 was not recorded, expected one of 0, 7"),
        (["--object", "cup"], "object cup was not recorded there, expected one of box"),
        (["--layer", "2"], "layer is 2, expected one of the 2 that were recorded"),
        (["--query", "1,4"], "query 1,4 was not recorded, expected one of 0,1, 1,3, 3,4"),
        (["--query", "0,9"], "query 0,9 was not recorded"),
        (["--seed", "0"], "seed and a recording were given"),
        (["--backend", "reference"], "backend and a recording were given"),
    ],
)
def test_what_was_not_recorded_is_named(recording, words, message, capfd, tmp_path):
    recording.save(tmp_path / "a.safetensors")
    check_refused(capfd, message, "maps", tmp_path / "a.safetensors", *words, "--output", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_a_frame_without_a_recording_is_refused(capfd, tmp_path):
    message = "frame was given without a recording"
    check_refused(capfd, message, "maps", "--frame", "3", "--output", tmp_path / "a.png")


def test_the_commands(recording, capfd, tmp_path):
    recording.save(tmp_path / "a.safetensors")
    status, _, _ = run(capfd, "maps", tmp_path / "a.safetensors", "--query", "3,4", "--output", tmp_path / "a.png")
    assert status == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    status, _, _ = run(
        capfd, "explore", tmp_path / "a.safetensors", "--show", "7", "--output", tmp_path / "a.html"
    )
    assert status == 0
    assert "Where Some looks: a.safetensors" in (tmp_path / "a.html").read_text()
    whole = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-9])
    for words, message in (
        (["a.safetensors", "--clip", "3"], "clip and a recording were given"),
        (["a.safetensors", "--show", "3"], "frame 3 was not recorded"),
        (["cut.safetensors"], "cut.safetensors"),
    ):
        words = [tmp_path / words[0], *words[1:]]
        check_refused(capfd, message, "explore", *words, "--output", tmp_path / "b.html")
        assert not (tmp_path / "b.html").exists()


def test_frames_keep_their_shape_and_the_query_in_the_middle_is_drawn(recording):
    recording.images = {n: image[:, :10] for n, image in recording.images.items()}
    figure = draw_look(recording)
    assert titles(figure)[0] == "now; query at row 1, column 3"
    figure.draw_without_rendering()
    for axis in figure.axes[:3]:
        box = axis.get_window_extent()
        assert box.height / box.width == pytest.approx(8 / 10, rel=1e-3)
