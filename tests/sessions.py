"""What a user may do in a session, and what the rules say that each object then sees."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from memory_attention.configs import load_config
from memory_attention.rules.frame_choice import memory_frames, pointer_frames
from memory_attention.tracker import Tracker
from memory_attention.tracker.weights import tracker_shapes

TINY = load_config("tiny")
# Three memories of every second frame, and more prompts than may be seen.
BANK = {"num_maskmem": 4, "memory_temporal_stride_for_eval": 2, "max_cond_frames_in_attn": 2}
CONFIG = TINY.with_changes(memory_bank=TINY.memory_bank.model_copy(update=BANK))
SIZE = CONFIG.image_size
RNG = np.random.default_rng(7)
WEIGHTS = {
    name: (RNG.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)
    for name, shape in tracker_shapes(CONFIG).items()
}
FRAMES = RNG.random((9, SIZE, SIZE, 3), np.float32)
MASKS = np.zeros((3, SIZE, SIZE), bool)
MASKS[0, 3:20, 10:50] = MASKS[1, 30:60, 5:25] = MASKS[2, 8:45, 33:58] = True
TRACKER = Tracker(CONFIG, WEIGHTS, "reference")
# Where only the choice of frames counts, what is seen there does not.
BLIND = Tracker(CONFIG, WEIGHTS, "reference")
BLIND.attention = lambda curr, memory, *_, **__: curr.repeat(memory.shape[1] // curr.shape[1], 1)
NAMES = ("ball", 2, ("a", "pair"))

# What a user may do: the next frame comes, an object is prompted so many frames back, or leaves, or the
# frames from there on are tracked anew.
BACK = st.integers(0, 4)
ADD = st.tuples(st.just("add"))
PROMPT = st.tuples(st.just("prompt"), st.sampled_from(NAMES), BACK, st.integers(0, 2))
REMOVE = st.tuples(st.just("remove"), st.sampled_from(NAMES))
TRACK = st.tuples(st.just("track"), BACK, st.booleans())
ACTIONS = st.lists(st.one_of(ADD, ADD, PROMPT, PROMPT, REMOVE, TRACK), min_size=6, max_size=12)
# Every example tracks a video or two.
FEWER = settings(max_examples=settings().max_examples // 10)


class History:
    """What the rules say that each object sees, from what happened so far; nothing is ever forgotten."""

    def __init__(self):
        self.prompted = {}
        self.stored = defaultdict(set)

    def prompt(self, name, frame):
        # A frame that is prompted anew counts as the last one added.
        self.prompted[name] = [number for number in self.prompted.get(name, []) if number != frame] + [frame]
        self.stored[name].add(frame)

    def remove(self, name):
        del self.prompted[name], self.stored[name]

    def check(self, tracked, backwards=False):
        assert tracked.steps.keys() == self.prompted.keys()
        for name, step in tracked.steps.items():
            frame, prompted, stored = tracked.frame, self.prompted[name], self.stored[name]
            assert step.frame == frame
            if frame in prompted:
                assert step.seen is None
                continue
            bank = CONFIG.memory_bank
            memories = memory_frames(frame, prompted, stored, bank, backwards)
            pointers = pointer_frames(frame, None, prompted, stored, bank, backwards)
            assert step.memory_frames == tuple(number for number, _ in memories)
            assert step.pointer_frames == tuple(number for number, _ in pointers)
            stored.add(frame)


def act(session, action, history=None):
    """Do what is asked, as far as it can be; returns what was tracked."""
    frames, objects = session.frames, session.objects
    match action:
        case ("add",):
            tracked = [session.add_frame(FRAMES[session.frames[-1] % 7 + 1 if frames else 0])]
            if history:
                history.check(tracked[0])
            return tracked
        case ("prompt", name, back, mask) if frames:
            frame = frames[max(0, len(frames) - 1 - back)]
            session.prompt(name, MASKS[mask], frame)
            if history:
                history.prompt(name, frame)
        case ("remove", name) if name in objects:
            session.remove(name)
            if history:
                history.remove(name)
        case ("track", back, backwards) if objects:
            start = frames[max(0, len(frames) - 1 - back)]
            tracked = []
            for one in session.track(start, backwards):
                if history:
                    history.check(one, backwards)
                tracked.append(one)
            kept = range(start, frames[0] - 1, -1) if backwards else range(start, frames[-1] + 1)
            assert [one.frame for one in tracked] == list(kept)
            return tracked
    return []
