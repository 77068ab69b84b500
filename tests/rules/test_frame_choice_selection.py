"""SAM 3's choice of frames, in both directions: arithmetic on frame numbers."""

from typing import Any

import pytest
from hypothesis import given

from memory_attention.configs import MemoryBankConfig
from memory_attention.rules.frame_choice import (
    memory_frames,
    pointer_frames,
    reliable_frames,
    select_conditioning_frames,
)
from stories import SCORED, Bank, Story, stories

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
def test_training_takes_every_frame_and_pointers_of_later_ones(story: Story) -> None:
    """That, and nothing else, is what it means, with SAM 3's selection too."""
    changes = {"memory_temporal_stride_for_eval": 1, "only_obj_ptrs_in_the_past_for_eval": False}
    every = story._replace(settings=story.settings.model_copy(update=changes), training=False)
    assert Bank(story._replace(training=True)).choose(story.frame) == Bank(every).choose(story.frame)


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
