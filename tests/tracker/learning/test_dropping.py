"""Memories that are missing in training."""

from types import SimpleNamespace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from cases import seeds
from memory_attention.accelerated.memory_bank import MemoryTokens
from memory_attention.tracker.learning.dropping import DroppingBank

CELLS = 3
probabilities = st.sampled_from([0.0, 0.4, 1.0])


def seen(frames, pointers):
    """What a bank has for a frame: each token holds the number of its frame and its own number."""
    spatial = [(frame, cell) for frame in frames for cell in range(CELLS)]
    tokens = torch.tensor([*spatial, *((-1, number) for number in range(pointers))], dtype=torch.float32)[:, None]
    return MemoryTokens(tokens, -tokens, pointers, tuple(frames), (0,) * bool(pointers))


def dropped(found, seed, at_once, singly):
    bank = SimpleNamespace(tokens=lambda frame, num_frames: found)
    return DroppingBank(bank, np.random.default_rng(seed), at_once, singly).tokens(9, num_frames=None)


@given(
    seed=seeds,
    frames=st.lists(st.integers(0, 8), min_size=1, max_size=5, unique=True),
    at_once=probabilities,
    singly=probabilities,
)
def test_whole_memories_are_missing_and_no_pointer(seed, frames, at_once, singly):
    found = seen(frames, pointers=4)
    kept = dropped(found, seed, at_once, singly)
    assert [frame for frame in frames if frame in kept.memory_frames] == list(kept.memory_frames)
    expected = seen(kept.memory_frames, pointers=4)
    assert torch.equal(kept.memory, expected.memory)
    assert torch.equal(kept.memory_pos, expected.memory_pos)
    assert (kept.num_obj_ptr_tokens, kept.pointer_frames) == (4, found.pointer_frames)
    if not (at_once or singly):
        assert kept.memory_frames == tuple(frames)
    if 1.0 in (at_once, singly):
        assert kept.memory_frames == ()


@given(seed=seeds)
def test_where_no_pointer_can_serve_no_memory_is_missing(seed):
    found = seen([5, 2], pointers=0)
    assert dropped(found, seed, 1.0, 1.0) is found


def test_what_is_missing_is_drawn_with_its_probability():
    frames = list(range(5))
    counts = [len(dropped(seen(frames, 1), seed, 0.25, 0.4).memory_frames) for seed in range(400)]
    # Five standard deviations of the mean of 400 draws.
    assert abs(np.mean(counts) - 0.75 * 0.6 * 5) < 5 * np.std(counts) / 20
    assert abs(np.mean(np.array(counts) == 0) - (0.25 + 0.75 * 0.4**5)) < 5 * 0.44 / 20
