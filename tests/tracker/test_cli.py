"""track, explore, evaluate and train, run as their users run them."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

import memory_attention as ma
from command_line import check_refused, run
from memory_attention.tracker import cli, initial_weights
from memory_attention.tracker.evaluation import held_out_clip
from memory_attention.tracker.weights import write_tracker

CONFIG = ma.load_config("tracker")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Untrained: the commands work whatever was learned."""
    path = tmp_path_factory.mktemp("tracker") / "weights.safetensors"
    write_tracker(path, initial_weights(CONFIG, seed=0), {"config": "tracker", "seed": "0"})
    return path


@pytest.fixture
def video(tmp_path):
    """Three frames of 96 × 128 pixels in a folder, and a mask."""
    folder = tmp_path / "video"
    folder.mkdir()
    clip = held_out_clip(0, 3)
    for index, frame in enumerate(clip.frames):
        Image.fromarray((frame[:96] * 255).astype(np.uint8)).save(folder / f"{index}.png")
    mask = np.zeros((96, 128), np.uint8)
    mask[20:50, 30:70] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return folder


def test_track_a_held_out_clip(capfd, weights, tmp_path):
    out = tmp_path / "out"
    status, text, _ = run(capfd, "track", "--weights", weights, "--backend", "accelerated", "--output", out)
    assert status == 0
    assert "IoU" in text
    overlay = "overlay.mp4" if find_spec("av") else "overlay.gif"
    written = ["explorer.html", "masks", "masks.npz", overlay, "track.png"]
    assert sorted(path.name for path in out.iterdir()) == written
    assert len(list((out / "masks").iterdir())) == 16
    assert (out / "track.png").read_bytes().startswith(b"\x89PNG")
    assert np.load(out / "masks.npz")["masks"].shape == (16, 1, 128, 128)


@pytest.mark.parametrize("backend", ["reference", "accelerated"])
def test_track_ones_own_frames(capfd, weights, video, tmp_path, backend):
    out = tmp_path / "out"
    words = ["--weights", weights, "--backend", backend, "--output", out, "--no-page"]
    status, text, _ = run(capfd, "track", "--frames", video, "--mask", tmp_path / "mask.png", *words)
    assert status == 0
    assert "IoU" not in text
    masks = np.load(out / "masks.npz")["masks"]
    # The masks have the size of the frames, and the first is the given one.
    assert masks.shape == (3, 1, 96, 128)
    given = np.asarray(Image.open(tmp_path / "mask.png")) > 0
    np.testing.assert_array_equal(masks[0, 0], given)


def test_track_an_npz_with_two_objects(capfd, weights, tmp_path):
    clip = held_out_clip(0, 3)
    np.savez(tmp_path / "clip.npz", frames=(clip.frames * 255).astype(np.uint8), mask=clip.masks[0, :2])
    words = ["--weights", weights, "--backend", "accelerated", "--output", tmp_path / "out", "--no-page"]
    status, _, _ = run(capfd, "track", "--frames", tmp_path / "clip.npz", *words)
    assert status == 0
    masks = np.load(tmp_path / "out" / "masks.npz")["masks"]
    np.testing.assert_array_equal(masks[0], clip.masks[0, :2])


def test_track_an_annotated_clip(capfd, weights, tmp_path):
    """What `evaluate` takes, `track` takes: the first of the masks is the prompt."""
    rng = np.random.default_rng(1)
    frames, masks = rng.random((3, 20, 24, 3), np.float32), np.zeros((3, 2, 20, 24), bool)
    masks[0, 0, 2:9, 3:12] = masks[0, 1, 12:19, 14:20] = masks[1:, :, 4:6, 5:9] = True
    np.savez(tmp_path / "clip.npz", frames=frames, masks=masks)
    words = ["--frames", tmp_path / "clip.npz", "--output", tmp_path / "out", "--no-page", "--no-picture"]
    status, _, _ = run(capfd, "track", *words, "--weights", weights)
    assert status == 0
    with np.load(tmp_path / "out" / "masks.npz") as found:
        np.testing.assert_array_equal(found["masks"][0], masks[0])


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


def test_without_pillow_a_folder_of_masks_is_no_hindrance(capfd, weights, tmp_path, monkeypatch):
    find_spec = cli.find_spec
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "PIL" else find_spec(name))
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "mine.txt").write_text("mine")
    status, _, _ = run(
        capfd, "track", "--output", tmp_path, "--no-page", "--no-picture", "--weights", weights, "--clip", "0"
    )
    assert status == 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["masks", "masks.npz", "mine.txt"]


def test_masks_alone(capfd, weights, tmp_path):
    clip = held_out_clip(0, 2)
    np.savez(tmp_path / "clip.npz", frames=clip.frames, mask=clip.masks[0, 0])
    words = ["--weights", weights, "--backend", "reference", "--output", tmp_path / "out"]
    status, _, _ = run(capfd, "track", "--frames", tmp_path / "clip.npz", *words, "--no-page", "--no-picture")
    assert status == 0
    assert not {"track.png", "explorer.html"} & {path.name for path in (tmp_path / "out").iterdir()}


def test_track_chosen_objects_of_a_video(capfd, weights, tmp_path):
    """Frames of 96 × 160 pixels with the mask among them, three objects in it and two of them asked for."""
    clip = held_out_clip(0, 3)
    folder = tmp_path / "video"
    folder.mkdir()
    for index, frame in enumerate(clip.frames):
        image = Image.fromarray((frame * 255).astype(np.uint8))
        image.resize((160, 96)).save(folder / f"shot{index}.jpg")
    labels = np.zeros((96, 160), np.uint8)
    labels[10:30, 20:60], labels[40:41, 50:51], labels[60:90, 90:140] = 2, 5, 9
    Image.fromarray(labels).save(folder / "mask.png")
    out = tmp_path / "out"
    words = ["--weights", weights, "--backend", "accelerated", "--output", out, "--object", 9, "--object", 5]
    status, text, _ = run(capfd, "track", "--frames", folder, "--mask", folder / "mask.png", *words)
    assert status == 0
    assert "96 × 160 pixels" in " ".join(text.split())
    with np.load(out / "masks.npz") as arrays:
        assert arrays["labels"].tolist() == [5, 9]
        assert arrays["masks"].shape == (3, 2, 96, 160)
        np.testing.assert_array_equal(arrays["masks"][0], [labels == 5, labels == 9])
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["shot0.png", "shot1.png", "shot2.png"]
    first = np.asarray(Image.open(out / "masks" / "shot0.png"))
    np.testing.assert_array_equal(first, np.where(labels == 2, 0, labels))
    page = (out / "explorer.html").read_text()
    assert '"name":"object 5"' in page
    assert '"name":"object 9"' in page


def test_objects_of_a_held_out_clip(capfd, weights, tmp_path):
    words = ["--weights", weights, "--backend", "accelerated", "--no-page", "--object", 1, "--object", 2]
    status, text, _ = run(capfd, "track", "--clip", 3, *words, "--output", tmp_path / "out")
    assert status == 0
    assert "object 1" in text
    assert "object 2" in text
    clip = held_out_clip(3)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "masks.npz")["masks"][0], clip.masks[0, :2])


def test_a_folder_of_ones_own_is_not_replaced(capfd, weights, video, tmp_path):
    out = tmp_path / "out"
    (out / "masks").mkdir(parents=True)
    (out / "masks" / "mine.png").write_bytes(b"mine")
    words = ["--weights", weights, "--frames", video, "--mask", tmp_path / "mask.png", "--output", out]
    status, _, err = run(capfd, "track", *words)
    assert status == 2
    assert "mine.png was not written by track, and would be lost" in err
    assert [path.name for path in out.rglob("*")] == ["masks", "mine.png"]


def test_explore(capfd, weights, tmp_path):
    page = tmp_path / "page.html"
    status, _, _ = run(
        capfd, "explore", "--weights", weights, "--backend", "accelerated", "--output", page, "--show", "2,5"
    )
    assert status == 0
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "http://" not in text
    assert "https://" not in text


def test_evaluate_both_backends(capfd, weights, tmp_path):
    figures = tmp_path / "figures.json"
    words = ["--clips", 2, "--length", 4, "--device", "cpu", "--backend", "reference", "--against", "accelerated"]
    status, text, _ = run(capfd, "evaluate", "--weights", weights, *words, "--output", figures)
    assert status == 0
    assert "pixels on which both backends agree" in text
    written = json.loads(figures.read_text())
    assert written["agreement"] > 0.999
    assert set(written["figures"]) == {"reference", "accelerated"}


def test_train_and_go_on(capfd, tmp_path):
    out = tmp_path / "training"
    status, _, _ = run(capfd, "train", "--output", out, "--steps", 2)
    assert status == 0
    written = {path.name for path in out.iterdir()} - {"training.lock"}
    assert written == {"checkpoint.pt", "log.csv", "log.png", "weights.safetensors"}
    status, _, _ = run(
        capfd,
        "track",
        "--weights",
        out / "weights.safetensors",
        "--output",
        tmp_path / "out",
        "--no-page",
        "--backend",
        "accelerated",
    )
    assert status == 0
    status, _, err = run(capfd, "train", "--output", out, "--steps", 3)
    assert status == 2
    assert "of another recipe" in err


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
