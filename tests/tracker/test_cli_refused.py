"""What the tracker's commands refuse: one line of error, and nothing is written."""

import numpy as np
import pytest
from PIL import Image

from command_line import check_refused, run


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--frames", "clip.npz", "--clips", "200"], "clips and frames were given"),
        (["--frames", "clip.npz", "--length", "16"], "length and frames were given"),
        (["--backend", "reference", "--against", "reference"], "against is 'reference', expected another backend"),
    ],
)
def test_evaluate_passes_nothing_over(words, message, capfd):
    check_refused(capfd, message, "evaluate", *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--frames", "{video}"], "mask is none, expected the object's mask"),
        (["--mask", "{tmp}/mask.png"], "mask was given without frames"),
        (["--frames", "{video}", "--mask", "{tmp}/none.png"], "no such file"),
        (["--frames", "{video}", "--mask", "{tmp}/empty.png"], "mask is empty"),
        (
            ["--frames", "{video}", "--mask", "{tmp}/small.png"],
            "mask has 10 × 10 pixels, expected those of the frames",
        ),
        (["--frames", "{video}", "--mask", "{tmp}/text.png"], "not a readable image"),
        (["--frames", "{tmp}/nowhere", "--mask", "{tmp}/mask.png"], "no such file or folder"),
        (["--frames", "{tmp}/one", "--mask", "{tmp}/mask.png"], "has 1 image(s), expected at least two"),
        (["--frames", "{tmp}/uneven", "--mask", "{tmp}/mask.png"], "has 10 × 10 pixels, expected those of 0.png"),
        (["--frames", "{tmp}/broken", "--mask", "{tmp}/mask.png"], "1.png: not a readable image"),
        (["--frames", "{tmp}/text.png", "--mask", "{tmp}/mask.png"], "text.png: not a readable image"),
        (["--frames", "{tmp}/text.npz", "--mask", "{tmp}/mask.png"], "not an .npz file"),
        (
            ["--frames", "{tmp}/text.txt", "--mask", "{tmp}/mask.png"],
            "a folder of images, or a file .npz",
        ),
        (["--frames", "{tmp}/names.npz", "--mask", "{tmp}/mask.png"], "has no array 'frames'"),
        (["--frames", "{tmp}/deep", "--mask", "{tmp}/mask.png"], "more than 8 bits"),
        (["--frames", "{tmp}/range.npz", "--mask", "{tmp}/mask.png"], "colours from 0.0 to 255.0, expected"),
        (["--frames", "{tmp}/flat.npz"], "mask has shape (96,)"),
        (["--frames", "{tmp}/black.npz"], "frames has dtype uint8 and colours up to 1"),
        (["--frames", "{tmp}/huge.npz"], "mask has values up to 9223372036854775808, expected less than 2³¹"),
        (["--frames", "{tmp}/greys.npz"], "expected labels [H,W] (whole numbers), or [K,H,W] of 0 and 1"),
        (
            ["--frames", "{video}", "--mask", "{video}/1.png"],
            "expected a mask, not a photograph",
        ),
        (
            ["--frames", "{video}", "--mask", "{tmp}/mask.png", "--object", "2"],
            "object is 2, expected one of",
        ),
        (["--object", "9"], "object is 9, expected 1 to"),
        (
            ["--frames", "{video}", "--mask", "{tmp}/mask.png", "--max-pixels", "12000"],
            "96 × 128 pixels",
        ),
        (["--frames", "{video}", "--mask", "{tmp}/mask.png", "--max-frames", "2"], "has more than 2 frames"),
        (["--frames", "{tmp}/shape.npz", "--mask", "{tmp}/mask.png"], "frames has shape (2, 8, 8)"),
        (["--weights", "{tmp}/text.png"], "not a readable safetensors file"),
        (["--weights", "{tmp}/none.safetensors"], "no such file"),
        (["--clip", "-1"], "clip"),
        (["--frames", "{video}", "--mask", "{tmp}/mask.png", "--clip", "0"], "clip and frames were given"),
        (["--every", "1"], "every was given without frames"),
        (["--max-pixels", "40000000"], "max_pixels was given without frames"),
        (["--max-frames", "9"], "max_frames was given without frames"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(words, message, capfd, weights, video, tmp_path):
    Image.new("L", (128, 96)).save(tmp_path / "empty.png")
    Image.new("L", (10, 10), 255).save(tmp_path / "small.png")
    for name in ("text.png", "text.npz", "text.txt"):
        (tmp_path / name).write_text("text")
    frame = (video / "0.png").read_bytes()
    for name, second in (
        ("one", None),
        ("uneven", (tmp_path / "small.png").read_bytes()),
        ("broken", frame[:200]),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(frame)
        if second:
            (tmp_path / name / "1.png").write_bytes(second)
    (tmp_path / "deep").mkdir()
    for name in ("0.png", "1.png"):
        Image.fromarray(np.full((96, 128), 20000, np.uint16)).save(tmp_path / "deep" / name)
    ramp = np.linspace(0, 255, 2 * 96 * 128 * 3).reshape(2, 96, 128, 3)
    np.savez(tmp_path / "range.npz", frames=ramp)
    np.savez(tmp_path / "flat.npz", frames=ramp / 255, mask=np.ones(96))
    np.savez(tmp_path / "black.npz", frames=(ramp > 9).astype(np.uint8), mask=np.ones((96, 128)))
    np.savez(tmp_path / "huge.npz", frames=ramp / 255, mask=np.full((96, 128), 2**63, np.uint64))
    np.savez(tmp_path / "greys.npz", frames=ramp / 255, mask=np.full((96, 128), 0.3))
    np.savez(tmp_path / "names.npz", images=np.zeros(3))
    np.savez(tmp_path / "shape.npz", frames=np.zeros((2, 8, 8)))
    given = [word.format(video=video, tmp=tmp_path) for word in words]
    given += [] if "--weights" in words else ["--weights", weights]
    check_refused(capfd, message, "track", *given, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_frames_asked_for_that_are_not_there(capfd, weights, tmp_path):
    words = [
        "explore",
        "--weights",
        weights,
        "--backend",
        "accelerated",
        "--output",
        tmp_path / "page.html",
        "--show",
    ]
    for show, message in (("0", "show has frame 0, expected 1 to 15"), ("a,b", "show is 'a,b'")):
        status, _, err = run(capfd, *words, show)
        assert status == 2
        assert message in err
    assert not (tmp_path / "page.html").exists()


def test_pictures_do_not_join_the_frames(capfd, weights, video, tmp_path):
    before = sorted(video.iterdir())
    words = ["--frames", video, "--mask", tmp_path / "mask.png", "--weights", weights, "--output", video]
    check_refused(capfd, "the folder of the frames", "track", *words)
    assert sorted(video.iterdir()) == before
