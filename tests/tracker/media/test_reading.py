"""A user's frames: one at a time, in their order, upright, and never more than one of them held."""

import subprocess
import sys
import weakref
import zlib

import numpy as np
import pytest

from memory_attention.tracker.media import frames as frames_module
from memory_attention.tracker.media.frames import Frames, open_frames
from memory_attention.tracker.media.images import opened
from memory_attention.tracker.media.reading import objects_of_array, read_video
from memory_attention.tracker.media.resizing import resize

Image = pytest.importorskip("PIL.Image")

COLOURS = [(250, 10, 30), (20, 240, 60), (30, 70, 230), (200, 190, 10)]


def plain(colour, size=(30, 18), mode="RGB"):
    return Image.new("RGB", size, colour).convert(mode)


@pytest.fixture
def folder(tmp_path):
    """Four frames of 18 × 30 pixels, and the mask among them."""
    for number, colour in zip((1, 2, 10, 11), COLOURS, strict=True):
        plain(colour).save(tmp_path / f"{number}.png")
    mask = np.zeros((18, 30), np.uint8)
    mask[3:9, 5:25], mask[12:15, 2:4] = 1, 7
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def colours(video):
    return (video.frames[:, 4, 4] * 255).round().astype(int).tolist()


def test_only_the_frames_are_taken_from_a_folder(folder):
    (folder / "._1.png").write_bytes(b"\x00\x05\x16\x07")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("not a frame")
    video = read_video(folder, folder / "mask.png", 16)
    assert colours(video) == [list(colour) for colour in COLOURS]
    assert [frame.name for frame in video.source] == ["1.png", "2.png", "10.png", "11.png"]
    assert video.given.labels == (1, 7)
    assert video.size == (18, 30)
    assert video.masks.any(axis=(1, 2)).all()


def test_some_frames_and_some_objects(folder):
    video = read_video(folder, folder / "mask.png", 16, objects=[7], every=2)
    assert colours(video) == [list(COLOURS[0]), list(COLOURS[2])]
    assert video.given.labels == (7,)
    assert video.given.masks.sum() == 6
    with pytest.raises(ValueError, match="has more than 3 frames, expected at most that many"):
        read_video(folder, folder / "mask.png", 16, max_frames=3)
    assert len(read_video(folder, folder / "mask.png", 16, max_frames=4).frames) == 4


def test_grey_and_colour_and_transparent_frames_are_mixed(folder):
    for name, mode in (("2.png", "L"), ("10.png", "RGBA"), ("11.png", "P")):
        with Image.open(folder / name) as image:
            image.convert(mode).save(folder / name)
    video = read_video(folder, folder / "mask.png", 16)
    assert video.frames.shape == (4, 16, 16, 3)
    assert np.ptp(video.frames[1], axis=-1).max() == 0
    assert colours(video)[2] == list(COLOURS[2])


@pytest.mark.parametrize("broken", ["cut short", "no image", "empty"])
def test_one_unreadable_frame_is_named(folder, broken):
    content = (folder / "10.png").read_bytes()
    (folder / "10.png").write_bytes({"cut short": content[:60], "no image": b"<html>", "empty": b""}[broken])
    with pytest.raises(ValueError, match=r"10\.png: not a readable image") as raised:
        read_video(folder, folder / "mask.png", 16)
    assert len(str(raised.value)) < 300


def test_a_jpeg_that_was_cut_short_is_named(folder):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (18, 30, 3), np.uint8)).save(folder / "5.jpg")
    (folder / "5.jpg").write_bytes((folder / "5.jpg").read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"5\.jpg: not a readable image"):
        read_video(folder, folder / "mask.png", 16)


def test_a_frame_of_another_size_is_named(folder):
    plain(COLOURS[0], (30, 19)).save(folder / "10.png")
    with pytest.raises(ValueError, match=r"10\.png has 19 × 30 pixels, expected those of 1\.png, 18 × 30"):
        read_video(folder, folder / "mask.png", 16)
    Image.new("L", (31, 18), 255).save(folder / "mask.png")
    with pytest.raises(ValueError, match="mask has 18 × 31 pixels, expected those of the frames, 18 × 30"):
        read_video(folder, folder / "mask.png", 16)


@pytest.mark.parametrize(("orientation", "turns"), [(6, -1), (8, 1), (3, 2)])
def test_exif_turns_a_frame_upright(folder, orientation, turns):
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 256, (18, 30, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for path in folder.glob("1*.png"):
        path.unlink()
    for name in ("1.png", "2.png"):
        Image.fromarray(stored).save(folder / name, exif=exif)
    source, _ = open_frames(folder, folder / "mask.png")
    for frame in source:
        np.testing.assert_array_equal(frame.image, np.rot90(stored, turns))


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp"])
def test_animations_and_pages(tmp_path, suffix):
    first, *others = (plain(colour) for colour in COLOURS)
    how = {"lossless": True} if suffix == "webp" else {}
    first.save(tmp_path / f"video.{suffix}", save_all=True, append_images=others, **how)
    Image.new("L", (30, 18), 255).save(tmp_path / "mask.png")
    video = read_video(tmp_path / f"video.{suffix}", tmp_path / "mask.png", 16)
    np.testing.assert_allclose(colours(video), COLOURS, atol=8 if suffix == "gif" else 0)
    first.save(tmp_path / f"one.{suffix}")
    with pytest.raises(ValueError, match=r"has 1 frame\(s\), expected at least two"):
        read_video(tmp_path / f"one.{suffix}", tmp_path / "mask.png", 16)


def huge_png(path, side):
    """A black image of side × side pixels in a few kilobytes, of which only the head is ever read."""
    Image.new("1", (8, 8)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = side.to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)


@pytest.mark.parametrize("side", [7000, 60_000])
def test_a_huge_image_is_refused_before_it_is_decoded(folder, side):
    before = Image.MAX_IMAGE_PIXELS
    assert before is not None
    huge_png(folder / "2.png", side)
    with pytest.raises(ValueError, match=rf"2\.png: has {side} × {side} pixels, expected at most 40,000,000"):
        read_video(folder, folder / "mask.png", 16)
    huge_png(folder / "mask.png", side)
    with pytest.raises(ValueError, match=r"mask\.png: has .* \(raised by max_pixels\)"):
        read_video(folder, folder / "mask.png", 16)
    with opened(folder / "2.png", max_pixels=side**2) as image:
        assert image.size == (side, side)
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_file_is_what_it_holds_not_what_it_is_called(folder):
    """Pillow would read it, as it would one that starts another program."""
    plain(COLOURS[1]).save(folder / "2.png", "PPM")
    with pytest.raises(ValueError, match=r"2\.png: not a readable image"):
        read_video(folder, folder / "mask.png", 16)


def test_no_more_than_two_frames_are_held(monkeypatch):
    """Of a long video only the frame that is read and the one before it are alive at full size."""
    alive, most = 0, 0

    def drop():
        nonlocal alive
        alive -= 1

    class Watched(np.ndarray):
        pass

    def many():
        nonlocal alive, most
        for number in range(40):
            image = np.full((48, 64, 3), number, np.uint8).view(Watched)
            weakref.finalize(image, drop)
            alive += 1
            most = max(most, alive)
            yield frames_module.Frame(str(number), image)

    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 10:20] = 1
    source = Frames("video", many)
    monkeypatch.setattr("memory_attention.tracker.media.reading.open_frames", lambda *_: (source, mask))
    video = read_video("video", None, 16)
    assert video.frames.shape == (40, 16, 16, 3)
    assert most <= 2


def test_arrays_of_any_size_need_numpy_alone(tmp_path):
    rng = np.random.default_rng(3)
    frames = rng.random((3, 21, 34, 3))
    mask = np.zeros((2, 21, 34), np.uint8)
    mask[0, 2:9, 3:9], mask[1, 20, 33] = 255, 255
    np.savez(tmp_path / "a.npz", frames=frames, mask=mask)
    script = f"""
import sys
for name in ("PIL", "skimage", "matplotlib", "torch", "av"):
    sys.modules[name] = None
from memory_attention.tracker.media.reading import read_video
video = read_video({str(tmp_path / "a.npz")!r}, None, 16)
print(video.frames.shape, video.masks.sum(axis=(1, 2)).min() > 0, video.given.labels)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "(3, 16, 16, 3) True (1, 2)\n", done.stderr
    video = read_video(tmp_path / "a.npz", None, 16)
    np.testing.assert_array_equal(video.frames[1], resize(frames[1], (16, 16)))
    np.testing.assert_array_equal(video.given.masks, mask > 0)
    np.savez(tmp_path / "b.npz", frames=(frames * 255).round().astype(np.uint8), mask=mask[0])
    np.testing.assert_allclose(read_video(tmp_path / "b.npz", None, 16).frames, video.frames, atol=0.5 / 255)


def test_masks_of_arrays():
    labels = np.zeros((6, 9), int)
    labels[1:3, 2:5], labels[5, 8] = 4, 300
    assert objects_of_array(labels, None).labels == (4, 300)
    assert objects_of_array(labels.astype(float), [300]).labels == (300,)
    assert objects_of_array(labels > 0, None).labels == (1,)
    assert objects_of_array((labels > 0) * 255, None).labels == (1,)
    pair = np.stack([labels == 4, labels == 300, labels == 5])
    assert objects_of_array(pair, [2]).labels == (2,)
    np.testing.assert_array_equal(objects_of_array(pair, [2, 1]).masks, pair[:2])
    for bad, chosen, message in (
        (pair, None, "mask is empty for object 3"),
        (pair, [4], "object is 4, expected 1 to 3"),
        (pair * np.array([1, 2, 3])[:, None, None], [1], "expected \\[K,H,W\\] of 0 and 1"),
        (labels / 3, None, "expected labels"),
        (-labels, None, "expected labels"),
        (np.zeros((0, 3)), None, "mask has shape \\(0, 3\\)"),
        (np.array(["a"]), None, "mask has shape"),
    ):
        with pytest.raises(ValueError, match=message):
            objects_of_array(bad, chosen)


def test_frames_are_taken_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 1):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"frame{number}.png")
    Image.new("L", (8, 8), 255).save(tmp_path / "given.gif")
    video = read_video(tmp_path, tmp_path / "given.gif", 8)
    assert (video.frames[:, 0, 0, 0] * 255).round().tolist() == [1, 2, 10]
    assert video.masks.all()
    assert video.size == (8, 8)
