"""The tracker: one loop on either backend, and clear errors."""

import numpy as np
import pytest

from memory_attention.configs import load_config
from memory_attention.tracker import Step, Tracker, initial_weights, make_clip
from memory_attention.tracker.learning.photographs import HELD_OUT

pytest.importorskip("skimage", reason="the clips are made of scikit-image's photographs")

CONFIG = load_config("tracker")
SIZE = CONFIG.image_size


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
        # The prompted frame, and the newest of those after it.
        assert step.memory_frames == tuple(sorted({0, step.frame - 1}))
        assert step.seen.memory.shape[0] == len(step.memory_frames) * 16 * 16 + step.seen.num_obj_ptr_tokens


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
    yield "bytes of 0 and 1", frames.astype(np.uint8) + 1, mask, ValueError, r"frames\[0\] .* colours up to 1, exp"
    yield (
        "bytes one at a time",
        iter(frames.astype(np.uint8) + 1),
        mask,
        ValueError,
        r"frames\[0\] .* up to 1, exp",
    )
    yield "frames by number", dict(enumerate(frames)), mask, TypeError, "frames is dict"
    yield "a number", np.array(3.0), mask, TypeError, "frames is ndarray"
    yield "a ragged list", [[[1, 2], [3]], frames[1]], mask, TypeError, r"frames\[0\] is list"
    yield "hidden colours", [np.ma.masked_array(frame, frame == 0) for frame in frames], mask, TypeError, "Masked"
    yield "a hidden mask", frames, np.ma.masked_array(mask, mask), TypeError, "masks is MaskedArray"
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


def test_later_frames_may_be_nearly_black(weights, clip):
    frames = (clip.frames * 255).astype(np.uint8)
    frames[2] = frames[2] > 128
    assert Tracker(CONFIG, weights, "accelerated").track(frames, clip.masks[0, 0]).shape[0] == 4


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        ("tracker", None, "config is str, expected a Config"),
        (CONFIG, lambda weights: list(weights), "weights is list, expected a mapping"),
        (CONFIG, lambda weights: weights | {"no_mem_embed": None}, "no_mem_embed is NoneType, expected an array"),
    ],
)
def test_a_tracker_is_made_of_a_config_and_weights(weights, config, change, message):
    with pytest.raises(TypeError, match=message):
        Tracker(config, change(weights) if change else weights, "reference")
