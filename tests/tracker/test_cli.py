"""track, explore, evaluate and train, run as their users run them."""

import json
import re
import weakref
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

import memory_attention as ma
from command_line import run
from memory_attention.tracker import Tracker, cli, read_tracker
from memory_attention.tracker.evaluation import held_out_clip
from memory_attention.tracker.media.frames import array_frames
from memory_attention.tracker.reading import objects_of_array
from memory_attention.tracker.tracked import TrackedVideo

CONFIG = ma.load_config("tracker")


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


def test_the_page_is_made_of_one_full_frame_at_a_time(weights, monkeypatch):
    """A video in its own size would not fit the memory: pictures are made small one by one."""
    config, parameters, _ = read_tracker(weights)
    clip = held_out_clip(0, 9)
    tracker = Tracker(config, parameters, "accelerated", device="cpu")
    given = objects_of_array(clip.masks[0], [1])
    tracked = TrackedVideo(tracker, clip.frames, given.masks, given, array_frames("video", clip.frames))
    tracked.follow([8])
    read, alive = [], []

    class Watched(np.ndarray):
        pass

    def one_by_one():
        for image in clip.frames:
            watched = image.copy().view(Watched)
            read.append(weakref.ref(watched))
            alive.append(sum(one() is not None for one in read))
            yield "", watched
            del watched

    monkeypatch.setattr(tracked, "source", one_by_one())
    page = cli._explorer(tracked, "video", [8]).page
    assert len(read) == 9
    assert max(alive) <= 2
    # Frame 8 and those that it looked at: the prompted one, and the one before it.
    assert [int(number) for number in re.findall(r'"(\d+)":"data:', page)] == 2 * [0, 7, 8]
