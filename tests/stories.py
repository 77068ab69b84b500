"""Drawn banks: which frames are in them, and how they are tracked."""

from typing import NamedTuple

from hypothesis import strategies as st

from memory_attention.configs import MemoryBankConfig
from memory_attention.rules.forgetting import lasting_frames
from memory_attention.rules.frame_choice import (
    memory_frames,
    pointer_frames,
)

SCORED = {0: 0.95, 1: 0.9, 2: 0.0, 3: 0.5, 4: 0.2, 5: 0.01, 6: 0.8, 7: -0.1, 9: 0.6, 11: 0.3, 12: 0.4}
STRIDE_2 = {"memory_temporal_stride_for_eval": 2}


class Story(NamedTuple):
    """What is in a bank: (frame, prompted, has a pointer, score), and how frames are tracked."""

    settings: MemoryBankConfig
    contents: dict[int, tuple[bool, bool, float]]
    num_frames: int
    frame: int
    backwards: bool
    training: bool


@st.composite
def settings_of_banks(draw: st.DrawFn) -> MemoryBankConfig:
    keep_first, selects = draw(st.booleans()), draw(st.booleans())
    return MemoryBankConfig(
        num_maskmem=draw(st.integers(1, 6)),
        keep_first_cond_frame=keep_first,
        max_cond_frames_in_attn=draw(st.sampled_from([-1, 3, 4] + [2] * (not keep_first))),
        memory_temporal_stride_for_eval=draw(st.integers(1, 4)),
        max_obj_ptrs_in_encoder=draw(st.integers(2 if selects else 1, 7)),
        only_obj_ptrs_in_the_past_for_eval=draw(st.booleans()),
        use_signed_tpos_enc_to_obj_ptrs=draw(st.booleans()),
        use_memory_selection=selects,
        mf_threshold=draw(st.sampled_from([0.01, 0.4])),
    )


@st.composite
def stories(draw: st.DrawFn) -> Story:
    num_frames = draw(st.integers(2, 24))
    score = st.sampled_from([-0.5, 0.0, 0.01, 0.2, 0.4, 0.7])
    content = st.tuples(st.sampled_from([True, False, False]), st.sampled_from([True, True, False]), score)
    return Story(
        draw(settings_of_banks()),
        draw(st.dictionaries(st.integers(0, num_frames - 1), content)),
        num_frames,
        draw(st.integers(0, num_frames - 1)),
        draw(st.booleans()),
        draw(st.booleans()),
    )


class Bank:
    """The numbers that a bank holds."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.conditioning: list[int] = []
        self.memories: list[int] = []
        self.pointers: list[int] = []
        self.scores: dict[int, float] = {}
        for number, content in story.contents.items():
            self.add(number, *content)

    def add(self, number: int, prompted: bool, pointing: bool, score: float) -> None:
        self.memories.append(number)
        if pointing:
            self.pointers.append(number)
        if prompted:
            self.conditioning.append(number)
        else:
            self.scores[number] = score

    def remove(self, number: int) -> None:
        for held in (self.conditioning, self.memories, self.pointers):
            if number in held:
                held.remove(number)
        self.scores.pop(number, None)

    def forget(self, frame: int) -> None:
        settings, training, backwards = self.story.settings, self.story.training, self.story.backwards
        held = (self.conditioning, self.memories, self.pointers)
        lasting = lasting_frames(frame, *held, settings, training, backwards, self.scores)
        self.conditioning, self.memories, self.pointers = lasting.conditioning, lasting.memories, lasting.pointers
        self.scores = {number: self.scores[number] for number in lasting.scores}

    def choose(self, frame: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        settings, num_frames = self.story.settings, self.story.num_frames
        direction = (self.story.backwards, self.story.training)
        return (
            memory_frames(frame, self.conditioning, self.memories, settings, *direction, num_frames, self.scores),
            pointer_frames(frame, num_frames, self.conditioning, self.pointers, settings, *direction, self.scores),
        )
