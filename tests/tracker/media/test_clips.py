"""Video files: what was written is read again, frame by frame, and what is no video is refused in words."""

import contextlib
import io
import tempfile
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

av = pytest.importorskip("av")
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


@pytest.mark.parametrize(
    ("turn", "shown"),
    [
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),  # x goes down: a phone held upright
        ((0, -1, 1, 0), np.rot90),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((-1, 0, 0, 1), np.fliplr),  # the camera at a phone's front
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda image: np.rot90(image, 2).swapaxes(0, 1)),
        ((0, 0, 0, 0), lambda image: image),
    ],
)
def test_a_video_that_was_turned_or_mirrored_is_shown_so(tmp_path, turn, shown):
    frames = scene(64, 96, 2)
    path = write(tmp_path / "phone.mp4", frames)
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in turn)
    matrix = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    content[start : start + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(content)
    found, expected = next(read_clip(path)), shown(frames[0])
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 6


def images_in_a_video(path, images):
    """A video of PNG images, whatever their sizes; the file says 64 × 96."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=10)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "rgb24"
        for number, image in enumerate(images):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            packet = av.Packet(buffer.getvalue())
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 10)
            container.mux(packet)
    return path


def test_a_frame_that_is_larger_than_the_file_says_is_not_decoded(tmp_path):
    path = images_in_a_video(tmp_path / "video.mov", [*scene(64, 96, 2), *scene(480, 640, 1)])
    with pytest.raises(ValueError, match=r"frame 2 cannot be decoded .* more than 307,199 pixels"):
        list(read_clip(path, max_pixels=480 * 640 - 1))
    with pytest.raises(ValueError, match="00002 has 480 × 640 pixels, expected those of 00000, 64 × 96"):
        list(open_frames(path)[0])


def test_a_video_without_pictures_is_refused(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 44100
        for given in (sound, None):
            for packet in stream.encode(given):
                container.mux(packet)
    with pytest.raises(ValueError, match="sound.mp4: has no pictures, expected a video"):
        open_frames(tmp_path / "sound.mp4")


def test_a_video_that_was_cut_short_is_read_with_a_warning(tmp_path):
    whole = tmp_path / "whole.mkv"
    with av.open(str(whole), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width = 64, 96
        for image in [*scene(64, 96, 20), None]:
            frame = None if image is None else av.VideoFrame.from_ndarray(image, format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(read_clip(whole))) == 20
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 7 // 10])
    with pytest.warns(RuntimeWarning, match=r"cut.mkv: its frames end after [01].\d s of 2.0 s"):
        assert 2 <= len(list(read_clip(cut))) < 15


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
        with contextlib.suppress(ValueError, RuntimeWarning):
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
