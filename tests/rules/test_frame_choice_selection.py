"""SAM 3's choice of frames, and what can be forgotten, in both directions: arithmetic on frame numbers."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_attention.configs import MemoryBankConfig
from memory_attention.rules.forgetting import lasting_frames
from memory_attention.rules.frame_choice import (
    memory_frames,
    pointer_frames,
    reliable_frames,
    select_conditioning_frames,
)

SCORED = {0: 0.95, 1: 0.9, 2: 0.0, 3: 0.5, 4: 0.2, 5: 0.01, 6: 0.8, 7: -0.1, 9: 0.6, 11: 0.3, 12: 0.4}
STRIDE_2 = {"memory_temporal_stride_for_eval": 2}


# ---------------------------------------------------------------- worked by hand


@pytest.mark.parametrize(
    ("frame", "conditioning", "limit", "expected"),
    [
        # The first of the video, then 12 (before), 20 (after); 11 is nearer than 5, but there is room for 3.
        (13, [30, 5, 12, 20, 11], 3, [5, 12, 20]),
        (13, [30, 5, 12, 20, 11], 4, [5, 12, 20, 11]),
        # The first is the nearest before as well, and is there once: of 12 and 30 the nearer.
        (7, [30, 5, 12, 11], 3, [5, 11, 12]),
        # Nothing before f: the last one, which came first where tracking goes backwards.
        (2, [30, 5, 12, 20, 11], 3, [30, 5, 11]),
        # f itself is no "after" there: 3 is the nearest at or after, 30 the last.
        (3, [30, 3, 12, 20], 3, [30, 3, 12]),
        # A limit that is just met: all, as they were added.
        (13, [30, 5, 12], 3, [30, 5, 12]),
        (13, [30, 5, 12], -1, [30, 5, 12]),
    ],
)
def test_the_first_conditioning_frame_is_kept(
    frame: int, conditioning: list[int], limit: int, expected: list[int]
) -> None:
    assert select_conditioning_frames(frame, conditioning, limit, keep_first=True) == expected


@pytest.mark.parametrize(
    ("frame", "num_frames", "changes", "backwards", "training", "expected"),
    [
        # Above 0.01 (5 is not): 12 is newest and good.
        (13, 20, {}, False, False, [12, 11, 9, 6, 4, 3, 1]),
        # 7 is not good, but is the newest; 8 has no score.
        (8, 20, {}, False, False, [7, 6, 4, 3, 1]),
        # P − 1 = 3 good ones, and the newest beside them.
        (8, 20, {"max_obj_ptrs_in_encoder": 4}, False, False, [7, 6, 4, 3]),
        (13, 20, {"max_obj_ptrs_in_encoder": 4}, False, False, [12, 11, 9]),
        # Every third from the newest: 12, 9, 6, 3; in training every one.
        (13, 20, {"memory_temporal_stride_for_eval": 3}, False, False, [12, 9, 6, 3]),
        (13, 20, {"memory_temporal_stride_for_eval": 3}, False, True, [12, 11, 9, 6, 4, 3, 1]),
        (5, 20, {"mf_threshold": 0.5}, False, False, [4, 1]),
        # Backwards: 3 is the newest.
        (2, 20, {}, True, False, [3, 4, 6, 9, 11, 12]),
        (
            1,
            None,
            {"memory_temporal_stride_for_eval": 2, "max_obj_ptrs_in_encoder": 4},
            True,
            False,
            [2, 4, 6, 12],
        ),
    ],
)
def test_reliable_frames_worked_by_hand(
    frame: int,
    num_frames: int | None,
    changes: dict[str, Any],
    backwards: bool,
    training: bool,
    expected: list[int],
) -> None:
    settings = MemoryBankConfig(use_memory_selection=True, **changes)
    assert reliable_frames(frame, num_frames, SCORED, settings, backwards, training) == expected


def test_selected_memories_and_pointers_worked_by_hand() -> None:
    settings = MemoryBankConfig(use_memory_selection=True, num_maskmem=4, use_signed_tpos_enc_to_obj_ptrs=True)
    stored = list(SCORED)
    # Reliable for 8 are 7, 6, 4, 3, 1: three slots, the newest at 3. Slot 0 has the prompted one.
    assert memory_frames(8, [0], stored, settings, False, False, 20, SCORED) == [(0, 0), (4, 1), (6, 2), (7, 3)]
    # Pointers: all but the farthest, 1, by their rank and not by their age; frame 4 has none.
    pointers = [0, 1, 3, 6, 7]
    expected = [(0, 8), (7, 1), (6, 2), (3, 4)]
    assert pointer_frames(8, 20, [0], pointers, settings, False, False, SCORED) == expected
    # Without a reliable frame but the newest there is one memory and no pointer of it.
    assert memory_frames(8, [0], stored, settings, False, False, 20, {7: 0.0}) == [(0, 0), (7, 3)]
    assert pointer_frames(8, 20, [0], pointers, settings, False, False, {7: 0.0}) == [(0, 8)]


# ---------------------------------------------------------------- an oracle, written another way


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


@given(stories())
def test_reliable_frames_agree_with_walking(story: Story) -> None:
    """Walk from the newest frame into the past, and take what is good until there is enough."""
    bank, settings, f = Bank(story), story.settings, story.frame
    step = 1 if story.backwards else -1
    walk = range(f + 1, story.num_frames) if story.backwards else range(f - 1, 0, -1)
    room = min(settings.max_obj_ptrs_in_encoder, story.num_frames) - 1
    stride = 1 if story.training else settings.memory_temporal_stride_for_eval
    found: list[int] = []
    for number in walk[::stride]:
        if len(found) < room and bank.scores.get(number, -1.0) > settings.mf_threshold:
            found.append(number)
    if f + step not in found:
        found.insert(0, f + step)
    arguments = (f, story.num_frames, bank.scores, settings, story.backwards, story.training)
    assert reliable_frames(*arguments) == found


@given(stories())
def test_the_kept_first_frame_is_all_that_differs(story: Story) -> None:
    """With room for it: the first is there, none twice, as many as before, and the nearest of each side."""
    bank, limit = Bank(story), 3
    plain = select_conditioning_frames(story.frame, bank.conditioning, limit)
    kept = select_conditioning_frames(story.frame, bank.conditioning, limit, keep_first=True)
    assert len(kept) == len(set(kept)) == len(plain)
    if len(bank.conditioning) > limit:
        earlier = [number for number in bank.conditioning if number < story.frame]
        assert kept[0] == (min(earlier) if earlier else max(bank.conditioning))
        assert set(kept) >= set(plain[:1])


# ---------------------------------------------------------------- forgetting


@given(stories(), st.data())
def test_what_is_forgotten_is_never_seen(story: Story, data: st.DataObject) -> None:
    """Frames are tracked one after another, in either direction, and new ones are prompted on the way."""
    full, lean = Bank(story), Bank(story)
    turns = range(story.frame, -1, -1) if story.backwards else range(story.frame, story.num_frames)
    for frame in turns:
        lean.forget(frame)
        assert lean.choose(frame) == full.choose(frame)
        if frame not in story.contents:
            content = (data.draw(st.booleans()), data.draw(st.booleans()), data.draw(st.sampled_from([0.0, 0.7])))
            full.add(frame, *content)
            lean.add(frame, *content)


@given(stories())
def test_what_is_kept_of_the_past_is_seen(story: Story) -> None:
    """While nothing is prompted and nothing reliable any more, the past is seen most."""
    towards = -1 if story.backwards else 1
    past = {n: content for n, content in story.contents.items() if (story.frame - n) * towards > 0}
    bank = Bank(story._replace(contents=past, num_frames=200 if not story.backwards else story.num_frames))
    # Conditioning frames beyond those that can be selected only keep the order.
    limit = story.settings.max_cond_frames_in_attn
    spare = set(bank.conditioning) if limit != -1 else set()
    bank.forget(story.frame)
    seen_memories: set[int] = set()
    seen_pointers: set[int] = set()
    for turn in range(30):
        memories, pointers = bank.choose(story.frame + towards * turn)
        seen_memories |= {number for number, _ in memories}
        seen_pointers |= {number for number, _ in pointers}
    assert set(bank.memories) - spare <= seen_memories
    if not story.backwards:  # Backwards the video's end cuts the reach of pointers short.
        assert set(bank.pointers) - spare <= seen_pointers
    if limit != -1:
        assert len(bank.conditioning) <= limit + 1


def test_forgetting_worked_by_hand() -> None:
    """With a stride of 2 the frames to come take turns: frame 10 looks at 9, 7, 5 and frame 11 at 8, 6, 4."""
    settings = MemoryBankConfig(
        use_memory_selection=True, num_maskmem=3, max_obj_ptrs_in_encoder=4, memory_temporal_stride_for_eval=2
    )
    stored = range(10)
    lasting = lasting_frames(10, [0], stored, stored, settings, scores=dict.fromkeys(range(1, 10), 0.8))
    # Two slots each, of which frame 11 gives one to frame 10; all three reliable ones are counted.
    assert lasting == ([0], [0, 7, 8, 9], [0, 6, 7, 8, 9], [4, 5, 6, 7, 8, 9])


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("selects", [False, True])
@pytest.mark.parametrize("keep_first", [False, True])
def test_a_bank_that_forgets_is_bounded(backwards: bool, selects: bool, keep_first: bool) -> None:
    settings = MemoryBankConfig(
        num_maskmem=7,
        max_cond_frames_in_attn=4,
        max_obj_ptrs_in_encoder=9,
        use_memory_selection=selects,
        keep_first_cond_frame=keep_first,
        memory_temporal_stride_for_eval=2,
    )
    bank = Bank(Story(settings, {}, 300, 0, backwards, False))
    for turn in range(300):
        frame = 299 - turn if backwards else turn
        bank.forget(frame)
        # 6 slots in each of two turns, and 5 conditioning frames; 8 pointers in each, and the 5 again.
        assert len(bank.memories) <= 12 + 5
        assert len(bank.pointers) <= 16 + 5
        assert len(bank.scores) <= 18
        bank.add(frame, turn % 10 == 0, True, 0.5 * (turn % 3 != 0))
    first = 299 if backwards else 0
    assert (first in bank.conditioning) == keep_first


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"keep_first_cond_frame": True, "max_cond_frames_in_attn": 2},
            "is 2, expected -1 or at least 3 with keep",
        ),
        ({"max_cond_frames_in_attn": 1}, "max_cond_frames_in_attn is 1, expected -1 or at least 2 .type"),
        (
            {"use_memory_selection": True, "max_obj_ptrs_in_encoder": 1},
            "max_obj_ptrs_in_encoder is 1, expected at",
        ),
        ({"mf_threshold": float("nan")}, "mf_threshold"),
        ({"use_memory_selection": "perhaps"}, "use_memory_selection"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MemoryBankConfig(**settings)


def test_sam_3_s_settings_are_off_by_default() -> None:
    """With the threshold of `Sam3TrackerBase`'s constructor."""
    settings = MemoryBankConfig()
    assert (settings.use_memory_selection, settings.keep_first_cond_frame) == (False, False)
    assert settings.mf_threshold == 0.01
