"""One's own annotated clip: what is measured on it, and what is refused."""

import json
import sys

import numpy as np
import pytest

import memory_attention as ma
from command_line import run
from memory_attention.tracker import evaluation, initial_weights, read_annotated
from memory_attention.tracker.evaluation import evaluate_clip, iou, mean
from memory_attention.tracker.learning.data import Clip
from memory_attention.tracker.weights import write_tracker

pytest.importorskip("skimage", reason="the untrained weights look at clips made of photographs")

CONFIG = ma.load_config("tracker")
SIZE = CONFIG.image_size


@pytest.fixture(scope="module")
def weights():
    return initial_weights(CONFIG, seed=3)


def draw_clip(seed, size=(SIZE, SIZE), frames=3):
    """Two objects: one that moves, and one that is out of sight in frame 1."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((frames, 2, *size), bool)
    for frame in range(frames):
        masks[frame, 0, 10:40, 5 + 3 * frame : 30 + 3 * frame] = True
        masks[frame, 1, 50:58, 20:60] = frame != 1
    return Clip(rng.random((frames, *size, 3), np.float32), masks)


def test_ious_are_those_of_the_masks_found(weights):
    clip = draw_clip(0)
    found = []
    report = evaluate_clip(CONFIG, weights, clip, "reference", found.append)
    assert (report.clips, report.frames) == (1, 3)
    ious = iou(found[0], clip.masks[1:])
    # The second object counts by the one frame in which it is in sight.
    assert report.iou == pytest.approx((ious[:, 0].mean() + ious[1, 1]) / 2)
    assert report.hidden_frames == 1
    assert report.hidden_found_empty == float(not found[0][0, 1].any())
    shift = 3 / 28  # of the columns of one mask, copied, on the next
    copied = [(1 - shift * 28 / 25) / (1 + 3 / 25), (25 - 6) / (25 + 6)]
    assert report.iou_of_first_mask == pytest.approx((np.mean(copied) + 1) / 2)


def test_what_is_never_in_sight_is_no_number_and_no_warning(weights):
    clip = draw_clip(1)
    clip.masks[1:] = False
    report = evaluate_clip(CONFIG, weights, clip, "reference")
    assert np.isnan([report.iou, report.iou_of_first_mask, *report.attention_share]).all()
    assert report.hidden_frames == 4


def test_the_mean_leaves_out_what_is_no_number():
    values = np.array([[1.0, np.nan, 5.0], [np.nan, np.nan, 7.0]])
    np.testing.assert_array_equal(mean(values, 0), [1, np.nan, 6])


@pytest.mark.parametrize("one_object", [False, True])
def test_the_command_measures_ones_own_clip(capfd, weights, tmp_path, one_object):
    write_tracker(tmp_path / "weights.safetensors", weights, {"config": "tracker"})
    clip = draw_clip(2)
    masks = clip.masks[:, 0] if one_object else clip.masks
    np.savez(tmp_path / "mine.npz", frames=(clip.frames * 255).round().astype(np.uint8), masks=masks.astype(int))
    words = ["--weights", tmp_path / "weights.safetensors", "--backend", "reference", "--device", "cpu"]
    words += ["--frames", tmp_path / "mine.npz", "--output", tmp_path / "figures.json"]
    status, text, err = run(capfd, "evaluate", *words)
    assert (status, err) == (0, "")
    assert f"{2 - one_object} object(s), 3 frames" in " ".join(text.split())
    # One object's cost has no standard error.
    assert ("±" in text) == (not one_object)
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]["reference"]
    assert figures["hidden_frames"] == 1 - one_object


def test_a_clip_of_another_size_is_resized(tmp_path):
    clip = draw_clip(3, size=(2 * SIZE, SIZE + 32))
    np.savez(tmp_path / "mine.npz", frames=clip.frames, masks=clip.masks)
    read = read_annotated(tmp_path / "mine.npz", SIZE)
    assert read.frames.shape == (3, SIZE, SIZE, 3)
    area = clip.masks.mean(axis=(2, 3))
    np.testing.assert_allclose(read.masks.mean(axis=(2, 3)), area, rtol=0.1)


def bad_clips():
    clip = draw_clip(4)
    yield {"frames": clip.frames}, "has no array 'masks'"
    yield {"masks": clip.masks}, "has no array 'frames'"
    yield {"frames": clip.frames[..., 0], "masks": clip.masks}, "frames has shape"
    yield {"frames": clip.frames, "masks": clip.masks[:2]}, "expected [3,128,128] or [3,K,128,128]"
    yield {"frames": clip.frames, "masks": clip.masks[0]}, "masks has shape (2, 128, 128)"
    yield {"frames": clip.frames, "masks": clip.masks * 3}, "besides 0 and 1"
    yield {"frames": clip.frames + 1, "masks": clip.masks}, "frames has colours"
    # Resized, its colours would be cut off.
    large = draw_clip(5, size=(SIZE + 8, SIZE))
    yield {"frames": 255 * large.frames, "masks": large.masks}, "expected 0 to 1 or uint8"
    yield (
        {"frames": (large.frames > 0.5).astype(np.uint8), "masks": large.masks},
        "colours up to 1, expected up to 255",
    )
    yield {"frames": clip.frames[:1], "masks": clip.masks[:1]}, "at least two"
    yield {"frames": clip.frames[1:], "masks": clip.masks[1:]}, "masks is empty for object 1"


@pytest.mark.parametrize(("arrays", "message"), list(bad_clips()))
def test_bad_clips_are_named(arrays, message, tmp_path):
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(ValueError, match="mine.npz: ") as error:
        read_annotated(tmp_path / "mine.npz", SIZE)
    assert message in str(error.value)


def test_held_out_clips_need_scikit_image(weights, monkeypatch):
    def missing(package, what):
        raise ModuleNotFoundError(f"{what} needs {package}")

    monkeypatch.setattr(evaluation, "require", missing)
    with pytest.raises(ModuleNotFoundError, match="a held-out clip needs skimage"):
        evaluation.evaluate(CONFIG, weights, "reference", clips=1, frames=2)


def test_the_command_needs_neither_pytorch_nor_matplotlib(capfd, monkeypatch, tmp_path):
    for package in ("torch", "matplotlib"):
        monkeypatch.setitem(sys.modules, package, None)
    words = ["--clips", 1, "--length", 2, "--backend", "reference"]
    assert run(capfd, "evaluate", *words)[0] == 0
    status, _, err = run(capfd, "track", "--output", tmp_path / "out", "--no-page")
    assert status == 2
    assert "--no-picture and --no-page leave them out" in err
