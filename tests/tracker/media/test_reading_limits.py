"""What users give is refused before it takes the memory, is lost, or is misread in silence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command_line import check_refused
from memory_attention.tracker.media.frames import open_frames
from memory_attention.tracker.media.masks import objects_of, read_mask
from memory_attention.tracker.media.reading import objects_of_array, read_video

Image = pytest.importorskip("PIL.Image")

MASK = np.zeros((48, 64), np.uint8)
MASK[10:30, 20:41] = 255


@pytest.fixture
def video(tmp_path):
    """A folder of three frames of 48 × 64 pixels, and a mask beside it."""
    (tmp_path / "frames").mkdir()
    for number in range(3):
        colours = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(colours).save(tmp_path / "frames" / f"{number}.png")
    Image.fromarray(MASK).save(tmp_path / "mask.png")
    return tmp_path


@pytest.mark.parametrize(("suffix", "how"), [("webp", {"quality": 60}), ("tif", {"compression": "jpeg"})])
def test_a_white_object_in_a_lossy_image_is_one_object(tmp_path, suffix, how):
    Image.fromarray(np.dstack([MASK] * 3)).save(tmp_path / f"mask.{suffix}", **how)
    labels = read_mask(tmp_path / f"mask.{suffix}")
    assert set(np.unique(labels)) == {0, 1}
    np.testing.assert_array_equal(labels == 1, MASK > 0)


def test_lossless_webp_keeps_its_labels(tmp_path):
    labels = np.where(MASK > 0, np.array([40, 90, 200, 40])[np.arange(64) // 20], 0).astype(np.uint8)
    Image.fromarray(np.dstack([labels] * 3)).save(tmp_path / "mask.webp", lossless=True)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.webp"), labels)


def test_lab_colours_are_refused_by_name(video):
    image = Image.fromarray(np.dstack([MASK, MASK, MASK])).convert("LAB")
    image.save(video / "mask.tif")
    with pytest.raises(ValueError, match="mask.tif: has LAB colours"):
        read_mask(video / "mask.tif")
    image.save(video / "frames" / "1.tif")
    with pytest.raises(ValueError, match="1.tif: has LAB colours"):
        list(open_frames(video / "frames")[0])


def test_masks_of_many_objects_are_refused_before_they_are_made(monkeypatch):
    labels = np.arange(3 * 40).reshape(6, 20) % 4
    monkeypatch.setenv("MEMORY_ATTENTION_LARGEST", str(10 * labels.size * 2))
    with pytest.raises(ValueError, match=r"m.png: 3 object\(s\) of 6 × 20 pixels takes .* more than the limit"):
        objects_of(labels, None, "m.png")
    with pytest.raises(ValueError, match=r"3 object\(s\) of 6 × 20 pixels"):
        objects_of_array(np.stack([labels == 1, labels == 2, labels == 3]), None)
    assert objects_of(labels, [1, 3]).labels == (1, 3)


def test_a_long_video_of_many_objects_is_refused_before_it_is_tracked(video, monkeypatch):
    labels = np.where(MASK > 0, np.arange(64) // 7, 0).astype(np.uint8)
    Image.fromarray(labels).save(video / "mask.png")
    count = len(np.unique(labels)) - 1
    monkeypatch.setenv("MEMORY_ATTENTION_LARGEST", str(2 * 64**2 * (12 + 5 * count)))
    with pytest.raises(ValueError, match=rf"frames: 3 or more frames with {count} object\(s\)"):
        read_video(video / "frames", video / "mask.png", 64)
    assert len(read_video(video / "frames", video / "mask.png", 64, objects=[3]).frames) == 3


def test_outputs_do_not_replace_what_is_read(video, capfd):
    frames, mask = video / "frames", video / "mask.png"
    output = video / "masks.npz"
    np.savez(output, frames=np.zeros((3, 48, 64, 3), np.uint8), mask=MASK > 0)
    kept = {path: path.read_bytes() for path in (output, mask, frames / "1.png")}
    words = "--frames", frames, "--mask", mask, "--output"
    check_refused(capfd, "mask.png is read as well", "explore", *words, mask)
    check_refused(capfd, "1.png is read as well", "explore", *words, frames / "1.png")
    check_refused(capfd, "masks.npz is read as well", "track", "--frames", output, "--output", video)
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_a_label_that_no_png_holds_is_refused_before_the_work(video, capfd):
    Image.fromarray((MASK > 0).astype(np.int32) * 70_000).save(video / "mask.tif")
    words = "--frames", video / "frames", "--mask", video / "mask.tif", "--output", video / "out"
    check_refused(capfd, "object 70000 has a label above 65535", "track", *words)
    assert not (video / "out").exists()


def test_every_page_has_its_size_checked(tmp_path):
    small, large = Image.new("L", (10, 10)), Image.new("L", (400, 300))
    small.save(tmp_path / "a.tif", save_all=True, append_images=[large])
    with pytest.raises(ValueError, match="400"):
        list(open_frames(tmp_path / "a.tif", None, 1, 1000)[0])


@pytest.mark.parametrize("suffix", ["gif", "tif", "png"])
@settings(max_examples=30)
@given(places=st.lists(st.tuples(st.floats(0.02, 0.99), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_animation_is_read_or_named(tmp_path_factory, suffix, places):
    path = tmp_path_factory.mktemp("broken") / f"a.{suffix}"
    frames = [Image.new("RGB", (9, 7), (value, 10, 90)) for value in (5, 90, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    data = bytearray(path.read_bytes())
    for share, value in places:
        data[int(share * len(data))] = value
    path.write_bytes(data)
    try:
        source, _ = open_frames(path if suffix != "png" else path.parent, None, 1, 1000)
        list(source)
    except ValueError as error:
        assert str(path.parent) in str(error)  # noqa: PT017
