"""Which frames a frame sees: worked by hand, and found another way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banks import Scenario, scenarios
from memory_attention.configs import MemoryBankConfig
from memory_attention.rules.frame_choice import (
    memory_frames,
    pointer_frames,
    select_conditioning_frames,
    slot_frames,
)
from walking import choose_by_walking


@pytest.mark.parametrize(
    ("frame", "num_maskmem", "stride", "backwards", "expected"),
    [
        # r = 1: the six frames before, oldest first.
        (10, 7, 1, False, [(4, 1), (5, 2), (6, 3), (7, 4), (8, 5), (9, 6)]),
        # k = 1: 12; k = 2: ⌊11/5⌋·5 = 10; k = 3: 10 − 5.
        (13, 4, 5, False, [(5, 1), (10, 2), (12, 3)]),
        # f − 2 = 10 is itself a multiple of 5, and stays.
        (12, 3, 5, False, [(10, 1), (11, 2)]),
        # f − 2 = −1: the floor of −1/3 is −1, not 0.
        (1, 3, 3, False, [(-3, 1), (0, 2)]),
        # k = 1: 14; k = 2: ⌈15/5⌉·5 = 15; k = 3: 20.
        (13, 4, 5, True, [(20, 1), (15, 2), (14, 3)]),
        # ⌈(14 + 2)/5⌉·5 = 20.
        (14, 3, 5, True, [(20, 1), (15, 2)]),
        (10, 4, 1, True, [(13, 1), (12, 2), (11, 3)]),
        (10, 2, 4, False, [(9, 1)]),
        (10, 1, 1, False, []),
        (10, 0, 1, False, []),
    ],
)
def test_slots_worked_by_hand(
    frame: int, num_maskmem: int, stride: int, backwards: bool, expected: list[tuple[int, int]]
) -> None:
    assert slot_frames(frame, num_maskmem, stride, backwards) == expected


@pytest.mark.parametrize(
    ("frame", "conditioning", "limit", "expected"),
    [
        # No limit, and a limit that is just met: all, as they were added.
        (13, [30, 5, 12, 20, 11], -1, [30, 5, 12, 20, 11]),
        (13, [30, 5, 12, 20, 11], 5, [30, 5, 12, 20, 11]),
        # 12 is the nearest before, 20 the nearest after; of 30 (17 away), 5 (8) and 11 (2) the last.
        (13, [30, 5, 12, 20, 11], 3, [12, 20, 11]),
        (13, [30, 5, 12, 20, 11], 4, [12, 20, 11, 5]),
        # 20 is farther than 11, 10 and 9, and is taken all the same.
        (13, [9, 10, 11, 12, 20], 2, [12, 20]),
        # Nothing after f, and nothing before f.
        (13, [1, 2, 3], 2, [3, 2]),
        (0, [1, 2, 3], 2, [1, 2]),
        # f itself counts as after.
        (5, [4, 5, 6], 2, [4, 5]),
        # 16 and 10 are both 3 away: the one that was added first.
        (13, [16, 10, 12, 14], 3, [12, 14, 16]),
        (13, [10, 16, 12, 14], 3, [12, 14, 10]),
    ],
)
def test_conditioning_frames_worked_by_hand(
    frame: int, conditioning: list[int], limit: int, expected: list[int]
) -> None:
    assert select_conditioning_frames(frame, conditioning, limit) == expected


def test_memories_worked_by_hand() -> None:
    settings = MemoryBankConfig(num_maskmem=4, max_cond_frames_in_attn=2)
    stored = [0, 1, 3, 5, 6, 9]
    # f = 6 sees 5, 4, 3: 4 is missing; 5 is conditioning but not selected (it would be before), so with
    # 3 and 9 prompted: before is 3, after is 9, no other room.
    assert memory_frames(6, [9, 0, 3], stored, settings) == [(3, 0), (9, 0), (5, 3)]
    # f = 2, prompted 0, 1, 9: before is 1, after is 9; 0 is left over and fills its slot, k = 2, t = 2.
    assert memory_frames(2, [0, 1, 9], stored, settings) == [(1, 0), (9, 0), (0, 2)]


def test_pointers_worked_by_hand() -> None:
    # P = min(4, 20): f − 1, f − 2, f − 3. Of them 8 has no pointer. 2 is conditioning and far beyond P.
    settings = MemoryBankConfig(max_obj_ptrs_in_encoder=4, use_signed_tpos_enc_to_obj_ptrs=True)
    stored = [2, 5, 6, 7, 9, 12]
    assert pointer_frames(9, 20, [2], stored, settings) == [(2, 7), (7, 2), (6, 3)]
    # A conditioning frame to come is left out in evaluation; in training it is 12 − 9 in the future.
    assert pointer_frames(9, 20, [2, 12], stored, settings) == [(2, 7), (7, 2), (6, 3)]
    assert pointer_frames(9, 20, [2, 12], stored, settings, training=True) == [(2, 7), (12, -3), (7, 2), (6, 3)]
    unsigned = settings.model_copy(update={"use_signed_tpos_enc_to_obj_ptrs": False})
    assert pointer_frames(9, 20, [2, 12], stored, unsigned, training=True) == [(2, 7), (12, 3), (7, 2), (6, 3)]
    # Backwards the past is 12 and up, and 2 is in the future.
    assert pointer_frames(9, 20, [2, 12], stored, settings, backwards=True) == [(12, 3)]
    assert pointer_frames(9, 20, [2, 12], stored, settings, True, True) == [(2, -7), (12, 3)]
    # A video of three frames: P = 3.
    assert pointer_frames(2, 3, [0], [0, 1], settings) == [(0, 2), (1, 1)]
    # Backwards from frame 2 of a video of five: 3 and 4, and none beyond the end.
    wide = settings.model_copy(update={"max_obj_ptrs_in_encoder": 9})
    assert pointer_frames(2, 5, [], range(10), wide, backwards=True) == [(3, 1), (4, 2)]
    # A video of one frame: P = 1, so no other frame, and no division by P − 1 = 0 later.
    assert pointer_frames(0, 1, [0], [0], settings) == [(0, 0)]
    off = settings.model_copy(update={"use_obj_ptrs_in_encoder": False})
    assert pointer_frames(9, 20, [2], stored, off) == []


@given(scenarios())
def test_choice_agrees_with_walking(case: Scenario) -> None:
    assert case.choose() == choose_by_walking(case)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(3, 8), st.integers(1, 5))
def test_slots_backwards_are_the_mirror_image_exactly_when_the_stride_divides_the_mirror(
    frame: int, mirror: int, num_maskmem: int, stride: int
) -> None:
    """Every frame n → S − n: multiples of r stay multiples of r only if S is one. Needs a slot with k ≥ 2."""
    forwards = [(mirror - number, slot) for number, slot in slot_frames(frame, num_maskmem, stride)]
    backwards = slot_frames(mirror - frame, num_maskmem, stride, backwards=True)
    assert (forwards == backwards) == (mirror % stride == 0)


@given(scenarios())
def test_tracking_backwards_is_the_mirror_image(case: Scenario) -> None:
    """Exact if the stride divides the last frame's number, and the frame itself was not prompted.

    Before f and at or after f are not each other's mirror image at f itself; and "before" stays first
    in the order of tokens, so the conditioning frames are compared as sets.
    """
    stride = case.settings.memory_temporal_stride_for_eval
    num_frames = (case.num_frames // stride + 1) * stride + 1
    added = [entry for entry in case.added if entry[0] != case.frame]
    case = case._replace(num_frames=num_frames, added=added)
    last = num_frames - 1
    mirrored = case._replace(
        added=[(last - number, *rest) for number, *rest in added],
        frame=last - case.frame,
        backwards=not case.backwards,
    )
    for here, there in zip(case.choose(), mirrored.choose(), strict=True):
        assert sorted((last - number, place) for number, place in here) == sorted(there)
