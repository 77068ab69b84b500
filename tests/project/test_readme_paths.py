"""The README's ways in, run as they are shown, on small files that lie where a user's would."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import memory_attention as ma
from command_line import run
from hosts import FRAMES, SIDE, sam2_model
from memory_attention.tracker.media.clips import ClipWriter

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def section(title):
    return README.split(f"### {title}\n")[1].split("\n## ")[0].split("\n### ")[0]


def commands(title):
    """The `memory-attention` lines of a way in, without their comments."""
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", section(title), re.DOTALL)).splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("memory-attention")]


def run_all(title, capfd, **instead):
    assert commands(title)
    for words in commands(title):
        status, _, err = run(capfd, *(instead.get(word, word) for word in words))
        assert status == 0, (words, err)


def test_in_a_running_model(monkeypatch, tmp_path, capfd):
    """A small random model in the place of the one that is fetched, and a session of it."""
    transformers = pytest.importorskip("transformers", reason="the host is an optional dependency")
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(transformers.Sam2VideoModel, "from_pretrained", lambda name: sam2_model())
    video = np.random.default_rng(0).random((FRAMES, SIDE, SIDE, 3), np.float32)

    def prompted(frames):
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)
        session = Sam2VideoInferenceSession(pixels, SIDE, SIDE, dtype=torch.float32)
        session.obj_id_to_idx(1)
        box = {"point_coords": torch.tensor([[[[20.0, 30.0], [70.0, 80.0]]]])}
        session.add_point_inputs(0, 0, box | {"point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32)})
        session.obj_with_new_inputs = [1]
        names["model"](session, frame_idx=0)
        return session

    code = re.search(r"<!-- path: run -->\n```python\n(.*?)```", README, re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    names = {"video": video, "prompted": prompted}
    exec(code, names)
    assert len(names["masks"]) == FRAMES
    assert type(names["model"].memory_attention).__module__.startswith("memory_attention")
    shares = names["shares"]
    assert shares.frames == tuple(range(1, FRAMES))
    np.testing.assert_allclose(np.nansum(shares.memories, 1) + np.nansum(shares.pointers, 1), 1, rtol=1e-6)
    run_all("To run SAM 2 faster, and see what it remembers", capfd)
    assert "frame 4" not in (tmp_path / "recording.html").read_text().partition('{"title"')[0]
    assert (tmp_path / "recording.png").read_bytes().startswith(b"\x89PNG")


def test_porting(monkeypatch, tmp_path, capfd):
    """With the config `tiny` in the place of SAM 2's, which takes a minute."""
    pytest.importorskip("onnxruntime", reason="the export's runtime is an optional dependency")
    monkeypatch.chdir(tmp_path)
    weights = ma.draw_weights(ma.load_config("tiny"), seed=3)
    state = {name: torch.from_numpy(weight.copy()) for name, weight in weights.items()}
    torch.save({"model": state}, "sam2.1_hiera_tiny.pt")
    run_all("To port it", capfd, **{"sam2.1_hiera_t": "tiny"})
    assert (tmp_path / "memory.onnx").stat().st_size > 0


def test_tracking(monkeypatch, tmp_path, capfd):
    pytest.importorskip("av", reason="videos need an extra")
    monkeypatch.chdir(tmp_path)
    frames = np.random.default_rng(1).integers(0, 256, (4, 48, 64, 3), np.uint8)
    labels = np.zeros((48, 64), np.uint8)
    labels[4:20, 6:30], labels[25:44, 30:60] = 1, 3
    Image.fromarray((labels == 1).astype(np.uint8) * 255).save("first-frame.png")
    Image.fromarray(labels).save("labels.png")
    (tmp_path / "my-video").mkdir()
    writer = ClipWriter(tmp_path / "clip.mp4", 10)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "my-video" / f"{number}.jpg")
        writer.add(frame)
    writer.close()
    np.savez("mine.npz", frames=frames, masks=np.repeat(labels[None] > 0, 4, axis=0))
    (tmp_path / "mine").mkdir()
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (240, 240, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "mine" / f"{number}.jpg")
    run_all("To track a clip of your own", capfd)
    with np.load("track-output/masks.npz") as found:
        assert found["masks"].shape == (4, 2, 48, 64)
