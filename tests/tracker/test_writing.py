"""What `track` writes of a video: masks in the user's size, as an array, as PNG files and painted on the video."""

import os
from importlib.util import find_spec

import numpy as np
import pytest

from memory_attention.pictures.colours import OBJECTS, channels
from memory_attention.tracker.media.frames import array_frames
from memory_attention.tracker.media.masks import Objects, davis_palette, read_mask
from memory_attention.tracker.media.resizing import resize_logits
from memory_attention.tracker.tracked import TrackedVideo
from memory_attention.tracker.writing import check_own_masks, label_image, whole_folder, write_masks

Image = pytest.importorskip("PIL.Image")

FRAMES, HEIGHT, WIDTH, SIDE = 4, 40, 70, 16
LABELS = (3, 5)


@pytest.fixture
def tracked():
    """Two objects, of which the first is lost in the last frame; the tracker itself has no part in it."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    given = np.zeros((2, HEIGHT, WIDTH), bool)
    given[0, 3:17, 5:31], given[1, 20:39, 33:68] = True, True
    small = rng.random((FRAMES, SIDE, SIDE, 3))
    source = array_frames("video", frames)
    made = TrackedVideo(None, small, given[:, :SIDE, :SIDE], Objects(given, LABELS), source)
    made.logits = [rng.normal(size=(2, SIDE, SIDE)).astype(np.float32) for _ in range(FRAMES - 1)]
    made.logits[-1][0] = -1
    return made


def expected_masks(tracked):
    found = [resize_logits(logits, (HEIGHT, WIDTH)) > 0 for logits in tracked.logits]
    return np.stack([tracked.given.masks, *found])


def test_the_array_has_the_masks_given_and_found(tracked, tmp_path):
    assert write_masks(tracked, tmp_path, images=False) == ["masks.npz"]
    assert [path.name for path in tmp_path.iterdir()] == ["masks.npz"]
    with np.load(tmp_path / "masks.npz", allow_pickle=False) as arrays:
        assert tuple(arrays["labels"]) == LABELS
        assert arrays["masks"].dtype == bool
        np.testing.assert_array_equal(arrays["masks"], expected_masks(tracked))


def test_a_png_a_frame_in_daviss_palette(tracked, tmp_path):
    write_masks(tracked, tmp_path, images=True)
    names = sorted(path.name for path in (tmp_path / "masks").iterdir())
    assert names == [f"{number:05d}.png" for number in range(FRAMES)]
    masks = expected_masks(tracked)
    for number, name in enumerate(names):
        with Image.open(tmp_path / "masks" / name) as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(image.getpalette(), davis_palette().ravel())
        labels = read_mask(tmp_path / "masks" / name)
        np.testing.assert_array_equal(labels > 0, masks[number].any(axis=0))
        for index, label in enumerate(LABELS):
            assert not (labels == label)[~masks[number, index]].any()
            assert (labels == label)[masks[number, index] & ~masks[number, 1 - index]].all()


def test_where_objects_overlap_the_surer_one_is_named():
    logits = np.array([[[2.0, 1.0, -1.0, 3.0]], [[1.0, 2.0, -2.0, -3.0]]])
    assert label_image(logits, (7, 4)).tolist() == [[7, 4, 0, 7]]


def test_labels_above_255_take_16_bits(tracked, tmp_path):
    tracked.given = Objects(tracked.given.masks, (3, 300))
    write_masks(tracked, tmp_path, images=True)
    labels = read_mask(tmp_path / "masks" / "00000.png")
    np.testing.assert_array_equal(labels == 300, tracked.given.masks[1])
    np.testing.assert_array_equal(labels == 3, tracked.given.masks[0])


def test_names_of_frames_are_kept(tracked, tmp_path):
    names = ["a.png", "a.jpg", "b.c.png", "d"]
    frames = [frame._replace(name=name) for frame, name in zip(tracked.source, names, strict=True)]
    tracked.source = type(tracked.source)("folder", lambda: iter(frames))
    write_masks(tracked, tmp_path, images=True)
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == [
        "a.jpg.png",
        "a.png",
        "b.c.png",
        "d.png",
    ]


def first_of_overlay(folder, kind, frames):
    """The first frame of an overlay, which has that many."""
    if kind == "gif":
        with Image.open(folder / "overlay.gif") as image:
            assert image.n_frames == frames
            return np.asarray(image.convert("RGB"))
    from memory_attention.tracker.media.clips import read_clip

    found = list(read_clip(folder / "overlay.mp4"))
    assert len(found) == frames
    return found[0]


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_the_overlay_shows_every_object_in_its_colour(tracked, tmp_path, monkeypatch, kind):
    if kind == "gif":
        monkeypatch.setattr("memory_attention.tracker.writing.find_spec", lambda name: None)
    elif not find_spec("av"):
        pytest.skip("needs PyAV")
    tracked.source = array_frames("video", np.zeros((FRAMES, HEIGHT, WIDTH, 3), np.uint8))
    assert f"overlay.{kind}" in write_masks(tracked, tmp_path, images=True)
    first = first_of_overlay(tmp_path, kind, FRAMES)
    # Seven times as large is the largest that READABLE has room for.
    assert first.shape == (7 * HEIGHT, 7 * WIDTH, 3)
    for (row, column), colour in (((10, 18), OBJECTS[0]), ((30, 50), OBJECTS[1])):
        square = first[7 * row + 1 : 7 * row + 6, 7 * column + 1 : 7 * column + 6].reshape(-1, 3)
        np.testing.assert_allclose(square, np.tile(0.4 * np.array(channels(colour)), (25, 1)), atol=25)
    assert first[14:, :14].max() < 40


@pytest.mark.parametrize(("side", "larger"), [(256, 512), (300, 300), (700, 700)])
@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_the_overlay_has_the_frames_size_or_more(tracked, tmp_path, monkeypatch, kind, side, larger):
    if kind == "gif":
        monkeypatch.setattr("memory_attention.tracker.writing.find_spec", lambda name: None)
        larger = min(larger, 512)
    elif not find_spec("av"):
        pytest.skip("needs PyAV")
    tracked.frames, tracked.logits = tracked.frames[:1], []
    tracked.source = array_frames("video", np.zeros((1, side // 2, side, 3), np.uint8))
    tracked.given = Objects(np.ones((2, side // 2, side), bool), LABELS)
    write_masks(tracked, tmp_path, images=True)
    first = first_of_overlay(tmp_path, kind, 1)
    assert first.shape == (larger // 2, larger, 3)
    with np.load(tmp_path / "masks.npz") as arrays:
        assert arrays["masks"].shape[2:] == (side // 2, side)


def test_what_fails_leaves_nothing_and_keeps_what_was_there(tracked, tmp_path):
    write_masks(tracked, tmp_path, images=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    tracked.logits[1] = None
    with pytest.raises(TypeError):
        write_masks(tracked, tmp_path, images=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    tracked.logits[1] = tracked.logits[0]
    tracked.logits.pop()
    tracked.frames = tracked.frames[:3]
    tracked.source = array_frames("video", np.zeros((3, HEIGHT, WIDTH, 3), np.uint8))
    write_masks(tracked, tmp_path, images=True)
    assert len(list((tmp_path / "masks").iterdir())) == 3


def test_a_folder_of_the_users_own_is_not_replaced(tracked, tmp_path):
    mine = tmp_path / "masks"
    mine.mkdir()
    check_own_masks(mine)
    for name, content in (("note.txt", b"mine"), ("mine.png", None)):
        if content:
            (mine / name).write_bytes(content)
        else:
            Image.new("L", (3, 3)).save(mine / name)
        with pytest.raises(ValueError, match=f"{name} was not written by track, and would be lost"):
            write_masks(tracked, tmp_path, images=True)
        assert [path.name for path in tmp_path.rglob("*")] == ["masks", name]
        (mine / name).unlink()
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file, expected a folder"):
        check_own_masks(tmp_path / "file")


def test_a_whole_folder_has_the_usual_permissions(tmp_path):
    former = os.umask(0o027)
    try:
        with whole_folder(tmp_path / "new") as folder:
            (folder / "a").write_text("")
            assert not (tmp_path / "new").exists()
    finally:
        os.umask(former)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o750
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
