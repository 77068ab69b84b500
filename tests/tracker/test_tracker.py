"""The tracker: one loop on either backend, clear errors, and a training that can be interrupted."""
# ruff: noqa: E402

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("skimage", reason="the clips are made of scikit-image's photographs")
torch = pytest.importorskip("torch")

from memory_attention.configs import load_config
from memory_attention.tracker import Step, Tracker, evaluate, initial_weights, make_clip, read_tracker
from memory_attention.tracker import training as training_module
from memory_attention.tracker.photographs import HELD_OUT
from memory_attention.tracker.training import CHECKPOINT, LOG, Recipe, Training, train
from memory_attention.tracker.weights import tracker_shapes, write_tracker

CONFIG = load_config("tracker")
SIZE = CONFIG.image_size
SHORT = Recipe(steps=4, frames=4, lengths=(2, 3), warmup=2)


@pytest.fixture(scope="module")
def weights():
    return initial_weights(CONFIG, seed=0)


@pytest.fixture(scope="module")
def clip():
    return make_clip(np.random.default_rng(5), HELD_OUT, np.arange(4, dtype=np.float64))


@pytest.fixture(scope="module")
def steps(weights, clip) -> dict[str, list[Step]]:
    return {
        backend: list(Tracker(CONFIG, weights, backend).follow(clip.frames, clip.masks[0, :2]))
        for backend in ("reference", "accelerated")
    }


def test_initial_weights_are_all_there_and_drawn_by_the_seed(weights):
    assert {name: array.shape for name, array in weights.items()} == tracker_shapes(CONFIG)
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    again = initial_weights(CONFIG, seed=0)
    assert all(np.array_equal(weights[name], again[name]) for name in weights)


def test_both_backends_find_the_same_masks(steps):
    for reference, accelerated in zip(steps["reference"][1:], steps["accelerated"][1:], strict=True):
        np.testing.assert_allclose(accelerated.logits, reference.logits, atol=1e-3)
        assert np.mean((accelerated.logits > 0) == (reference.logits > 0)) > 0.999


@pytest.mark.parametrize("backend", ["reference", "accelerated"])
def test_steps_tell_what_was_seen(steps, backend):
    first, *others = steps[backend]
    assert first.logits is None
    assert first.seen is None
    for step in others:
        assert step.logits.shape == (2, SIZE, SIZE)
        assert step.memory_frames == tuple(range(step.frame))
        assert step.seen.memory.shape[0] == step.frame * 16 * 16 + step.seen.num_obj_ptr_tokens


def test_objects_of_a_video_are_tracked_apart(weights, clip, steps):
    alone = list(Tracker(CONFIG, weights, "reference").follow(clip.frames, clip.masks[0, 1]))
    np.testing.assert_allclose(alone[-1].logits[0], steps["reference"][-1].logits[1], atol=1e-4)


def test_track_gives_the_prompts_and_the_masks_found(weights, clip, steps):
    found = Tracker(CONFIG, weights, "accelerated").track(clip.frames, clip.masks[0, :2])
    np.testing.assert_array_equal(found[0], clip.masks[0, :2])
    np.testing.assert_array_equal(found[3], steps["accelerated"][3].logits > 0)


def test_the_future_changes_nothing(weights, clip, steps):
    changed = clip.frames.copy()
    changed[3] = 0
    again = list(Tracker(CONFIG, weights, "accelerated").follow(changed, clip.masks[0, :2]))
    np.testing.assert_array_equal(again[2].logits, steps["accelerated"][2].logits)


def test_an_emptied_memory_knows_no_mask(weights, clip):
    forgetful = Tracker(CONFIG, weights, "accelerated", forgetful=True)
    first, second = (list(forgetful.follow(clip.frames[:2], clip.masks[0, k]))[1].logits for k in (0, 1))
    np.testing.assert_array_equal(first, second)


def test_bytes_are_colours_too(weights, clip):
    frames = (clip.frames * 255).round().astype(np.uint8)
    tracker = Tracker(CONFIG, weights, "accelerated")
    np.testing.assert_array_equal(
        tracker.track(frames, clip.masks[0, 0]), tracker.track(frames / 255, clip.masks[0, 0])
    )


def bad_inputs():
    frames = np.zeros((3, SIZE, SIZE, 3), np.float32)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[40:60, 40:60] = True
    small = np.zeros((SIZE // 2, SIZE // 2, 3), np.float32)
    yield "no mask", frames, None, TypeError, "masks is None"
    yield "an empty mask", frames, np.zeros_like(mask), ValueError, "masks is empty for object 0"
    yield "one empty mask of two", frames, np.stack([mask, ~mask & False]), ValueError, "empty for object 1"
    yield "a mask of another size", frames, mask[:64], ValueError, "masks has shape"
    yield "a mask of greys", frames, mask * 0.5, ValueError, "besides 0 and 1"
    yield "one frame", frames[:1], mask, ValueError, "frames has 1 frame"
    yield "no frames", None, mask, TypeError, "frames is NoneType"
    yield "frames of different sizes", [frames[0], small], mask, ValueError, r"frames\[1\] has shape"
    yield "grey frames", frames[..., 0], mask, ValueError, r"frames\[0\] has shape"
    yield "whole numbers", frames.astype(np.int64), mask, TypeError, r"frames\[0\] has dtype"
    yield "colours to 255", frames + 255, mask, ValueError, "colours from"
    yield "colours that are no numbers", frames + np.nan, mask, ValueError, "colours from"


@pytest.mark.parametrize(
    ("frames", "masks", "error", "message"),
    [case[1:] for case in bad_inputs()],
    ids=[case[0] for case in bad_inputs()],
)
def test_bad_input_is_named(weights, frames, masks, error, message):
    with pytest.raises(error, match=message):
        Tracker(CONFIG, weights, "reference").track(frames, masks)


def test_training_goes_on_as_if_never_interrupted(tmp_path):
    whole = train(tmp_path / "whole", SHORT, show_progress=False)
    train(tmp_path / "parts", SHORT, stop_at=2, show_progress=False)
    parts = train(tmp_path / "parts", SHORT, show_progress=False)
    _, expected, _ = read_tracker(whole)
    _, found, _ = read_tracker(parts)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    losses = [
        [line.split(",")[3] for line in (tmp_path / name / LOG).read_text().splitlines()]
        for name in ("whole", "parts")
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 5


def test_an_interrupted_save_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    train(tmp_path, SHORT, stop_at=1, show_progress=False)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def interrupted(state, path):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(training_module.torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, SHORT, show_progress=False)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_checkpoint_that_is_none_or_of_another_recipe_is_refused(tmp_path):
    train(tmp_path, SHORT, stop_at=1, show_progress=False)
    with pytest.raises(ValueError, match="another recipe"):
        Training.resume(tmp_path / CHECKPOINT, Recipe(steps=4, frames=4, lengths=(2, 3), warmup=3))
    (tmp_path / CHECKPOINT).write_bytes(b"half a checkp")
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        Training.resume(tmp_path / CHECKPOINT, SHORT)


def test_files_that_are_no_trackers_are_refused(tmp_path, weights):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_tracker(tmp_path / "none.safetensors")
    (tmp_path / "half.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        read_tracker(tmp_path / "half.safetensors")
    write_tracker(tmp_path / "nameless.safetensors", weights, {})
    with pytest.raises(ValueError, match="name no config"):
        read_tracker(tmp_path / "nameless.safetensors")
    fewer = {name: array for name, array in weights.items() if name != "no_mem_embed"}
    write_tracker(tmp_path / "fewer.safetensors", fewer, {"config": "tracker"})
    with pytest.raises(ValueError, match="missing parameter no_mem_embed"):
        read_tracker(tmp_path / "fewer.safetensors")


def test_the_report_has_its_baselines(weights):
    report = evaluate(CONFIG, weights, "accelerated", clips=2, frames=3, batch=2, show_progress=False)
    assert (report.clips, report.frames) == (2, 3)
    for figure in (report.iou, report.iou_without_memory, report.iou_of_first_mask):
        assert 0 <= figure <= 1
    assert len(report.attention_share) == CONFIG.memory_attention.num_layers
