"""Video files: what was written is read again, frame by frame, and what is no video is refused in words."""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("av")
Image = pytest.importorskip("PIL.Image")

from memory_attention.tracker.media.clips import ClipWriter, clip_rate, read_clip  # noqa: E402
from memory_attention.tracker.media.frames import open_frames  # noqa: E402
from memory_attention.tracker.media.reading import read_video  # noqa: E402


def scene(height, width, frames):
    """A white square that moves over a grey ramp."""
    made = np.zeros((frames, height, width, 3), np.uint8)
    made[:] = np.linspace(20, 120, width).astype(np.uint8)[:, None]
    for number in range(frames):
        made[number, 8:24, 8 + 4 * number : 24 + 4 * number] = 255
    return made


def write(path, frames, rate=12.5):
    writer = ClipWriter(path, rate)
    for frame in frames:
        writer.add(frame)
    writer.close()
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov", "m4v"])
def test_a_video_is_read_frame_by_frame(tmp_path, suffix):
    frames = scene(64, 96, 6)
    path = write(tmp_path / f"video.{suffix}", frames)
    assert clip_rate(path) == 12.5
    found = np.stack(list(read_clip(path)))
    assert found.shape == frames.shape
    assert np.abs(found.astype(int) - frames).mean() < 6
    assert [np.argwhere(image[..., 0] > 200)[:, 1].min() for image in found] == pytest.approx(
        [8 + 4 * number for number in range(6)], abs=1
    )
    Image.fromarray((frames[0, ..., 0] == 255).astype(np.uint8)).save(tmp_path / "mask.png")
    video = read_video(path, tmp_path / "mask.png", 32, every=2)
    assert video.frames.shape == (3, 32, 32, 3)
    assert video.source.rate == 6.25
    assert [frame.name for frame in video.source] == ["00000", "00002", "00004"]


def test_odd_sizes_are_filled_up(tmp_path):
    path = write(tmp_path / "odd.mp4", scene(63, 95, 2))
    assert next(read_clip(path)).shape == (64, 96, 3)


def test_a_video_that_was_turned_is_upright(tmp_path):
    """A phone held upright: the matrix in the file says that x goes down, a quarter turn clockwise."""
    frames = scene(64, 96, 2)
    path = write(tmp_path / "phone.mp4", frames)
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    matrix = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    content[start : start + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(content)
    found = next(read_clip(path))
    assert found.shape == (96, 64, 3)
    assert np.abs(found.astype(int) - np.rot90(frames[0], -1)).mean() < 6


def test_what_is_no_video_is_refused(tmp_path):
    whole = write(tmp_path / "whole.mp4", scene(64, 96, 30)).read_bytes()
    for name, content in (
        ("page.mp4", b"<html>" * 100),
        ("empty.mp4", b""),
        ("cut.mp4", whole[: len(whole) // 2]),
        ("playlist.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nwhole.mp4\n#EXT-X-ENDLIST\n"),
        ("concat.mp4", b"ffconcat version 1.0\nfile whole.mp4\n"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: not a readable video") as raised:
            open_frames(tmp_path / name)
        assert "\n" not in str(raised.value)


def test_pictures_of_an_unknown_format_are_named(tmp_path):
    path = write(tmp_path / "video.mp4", scene(64, 96, 3))
    content = path.read_bytes()
    sample = content.index(b"stsd") + 16
    path.write_bytes(content[:sample] + b"zzzz" + content[sample + 4 :])
    with pytest.raises(ValueError, match="video.mp4: has pictures in a format that PyAV does not know"):
        open_frames(path)


@given(st.integers(0, 2**32 - 1))
def test_whatever_is_in_the_file_it_is_read_or_refused(seed):
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "video.mp4", scene(64, 96, 3))
        content = bytearray(path.read_bytes())
        for place in rng.integers(0, len(content), rng.integers(1, 20)):
            content[place] = rng.integers(0, 256)
        path.write_bytes(content)
        with contextlib.suppress(ValueError):
            for frame in open_frames(path)[0]:
                assert frame.image.shape[2] == 3


def test_a_broken_frame_is_named(tmp_path):
    """A few bytes are enough: what follows would be made up from the frames before."""
    rng = np.random.default_rng(0)
    path = write(tmp_path / "video.mp4", rng.integers(0, 256, (8, 64, 96, 3), np.uint8))
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    middle = start + 9000
    content[middle : middle + 60] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"video.mp4: frame \d+ cannot be decoded"):
        list(read_clip(path))


def test_a_large_video_is_refused_before_it_is_decoded(tmp_path):
    path = write(tmp_path / "video.mp4", scene(64, 96, 2))
    with pytest.raises(ValueError, match=r"has 64 × 96 pixels, expected at most 6,000 \(raised by max_pixels\)"):
        next(read_clip(path, max_pixels=6000))
