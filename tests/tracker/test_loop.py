"""One turn of the loop: what is handed to the small networks and to the bank, for each object."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from cases import seeds
from memory_attention.configs import load_config
from memory_attention.rules.forgetting import lasting_frames
from memory_attention.rules.frame_choice import memory_frames
from memory_attention.tracker import Tracker
from memory_attention.tracker.weights import tracker_shapes

CONFIG = load_config("tiny")
SIZE = CONFIG.image_size
RNG = np.random.default_rng(11)
WEIGHTS = {
    name: (RNG.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)
    for name, shape in tracker_shapes(CONFIG).items()
}
TRACKERS = {name: Tracker(CONFIG, WEIGHTS, name, device="cpu") for name in ("reference", "accelerated")}


def turn(backend, prompted, masks, monkeypatch):
    """A turn in which the masks [K,S,S] are given, or found as logits; with what the networks were handed."""
    tracker, handed = TRACKERS[backend], {}
    networks, array = tracker.networks, tracker.array
    bank, rng = tracker.new_bank(), np.random.default_rng(3)
    with tracker.ops.inference():
        encoded = tracker.encode(array(rng.random((1, SIZE, SIZE, 3), np.float32)), len(masks))
        tracker.step(bank, 0, encoded, array(np.ones((len(masks), SIZE, SIZE), np.float32)))
        for name in ("point", "encode_memory", "decode_mask"):
            original = getattr(networks, name)

            def see(*given, name=name, original=original):
                handed[name] = [np.asarray(value) for value in given]
                return original(*given)

            monkeypatch.setattr(networks, name, see)
        if not prompted:
            monkeypatch.setattr(networks, "decode_mask", lambda tokens, fine: array(masks))
        step, memory = tracker.look(bank, 1, encoded, array(masks) if prompted else None)
    return step.to_numpy(), {n: np.asarray(v) for n, v in memory.items()}, handed, np.asarray(encoded.features)


@pytest.mark.parametrize("backend", TRACKERS)
@settings(max_examples=4)
@given(seed=seeds, prompted=st.booleans())
def test_an_object_is_absent_where_less_than_half_a_cell_is_found_or_none_is_given(backend, seed, prompted):
    rng = np.random.default_rng(seed)
    shown, least = np.zeros((5, SIZE, SIZE), bool), CONFIG.backbone_stride**2 // 2
    for index, count in enumerate((0, least - 1, least, SIZE**2), start=1):
        shown[index].flat[rng.permutation(SIZE**2)[:count]] = True
    shown[0, 5:9] = True
    # Logits just above zero are the object; those below are not.
    masks = np.where(shown, 1, 0 if prompted else -1) * (1 if prompted else 0.01)
    with pytest.MonkeyPatch.context() as patch:
        step, memory, handed, features = turn(backend, prompted, masks.astype(np.float32), patch)
    assert memory["absent"].tolist() == [False, True, not prompted, False, False]
    if not prompted:
        # So few pixels are no longer the object, and none that was not is one.
        shown[2], masks[2] = False, -0.01
    assert memory["conditioning"] == prompted
    np.testing.assert_array_equal(step.masks, shown)
    # The memory is made of what the frame looks like, the pointer of what it remembers, both of the soft mask.
    soft = masks if prompted else 1 / (1 + np.exp(-masks))
    for name in ("encode_memory", "point"):
        np.testing.assert_allclose(handed[name][1], soft, rtol=1e-6)
    np.testing.assert_array_equal(handed["encode_memory"][0], features)
    assert np.abs(handed["point"][0] - features).max() > 0.01
    if prompted:
        np.testing.assert_allclose(handed["point"][0], features + WEIGHTS["no_mem_embed"][0, 0], rtol=1e-6)


def test_following_forgets_what_no_later_frame_can_see(monkeypatch):
    tracker, banks = TRACKERS["reference"], []
    new_bank = tracker.new_bank
    monkeypatch.setattr(tracker, "new_bank", lambda: banks.append(new_bank()) or banks[-1])
    rng = np.random.default_rng(5)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[9:30, 4:50] = True
    frames = (rng.random((SIZE, SIZE, 3), np.float32) for _ in range(24))
    for step in tracker.follow(frames, mask):
        numbers = range(step.frame + 1)
        lasting = lasting_frames(step.frame + 1, [0], numbers, numbers, CONFIG.memory_bank)
        assert list(banks[0].memories) == lasting.memories
        assert list(banks[0].pointers) == lasting.pointers
    assert len(lasting.memories) < 24


@pytest.mark.parametrize("backwards", [False, True])
def test_the_direction_reaches_the_bank(backwards):
    tracker, rng = TRACKERS["reference"], np.random.default_rng(8)
    bank, encoded = tracker.new_bank(), tracker.encode(rng.random((1, SIZE, SIZE, 3), np.float32))
    mask = np.zeros((1, SIZE, SIZE), np.float32)
    mask[:, 5:30, 9:40] = 1
    tracker.step(bank, 0, encoded, mask)
    for frame in (2, 5, 6):
        bank.add(frame, bank.memories[0], bank.pointers[0])
    step, _ = tracker.look(bank, 4, encoded, backwards=backwards)
    seen = memory_frames(4, [0], [0, 2, 5, 6], CONFIG.memory_bank, backwards)
    assert step.memory_frames == tuple(number for number, _ in seen)
    assert (2 in step.memory_frames, 5 in step.memory_frames) == (not backwards, backwards)
