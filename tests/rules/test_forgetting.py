"""What can be forgotten is never seen again, in both directions: arithmetic on frame numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_attention.configs import MemoryBankConfig
from memory_attention.rules.forgetting import lasting_frames
from stories import Bank, Story, stories


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
        if data.draw(st.booleans()):
            # With the frame itself in the bank.
            lean.forget(frame)


@given(stories(), st.data())
def test_frames_from_there_on_may_be_done_anew(story: Story, data: st.DataObject) -> None:
    """What is forgotten follows from the past alone: the frame itself and those after it may change."""
    full, lean = Bank(story), Bank(story)
    lean.forget(story.frame)
    turns = range(story.frame, -1, -1) if story.backwards else range(story.frame, story.num_frames)
    for frame in turns:
        full.remove(frame)
        lean.remove(frame)
    for frame in turns:
        assert lean.choose(frame) == full.choose(frame)
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
    # Frames 10 and 11 are there too, and stand for no other: they may be taken out again.
    lasting = lasting_frames(10, [0], range(12), [], settings, scores=dict.fromkeys(range(1, 12), 0.8))
    assert lasting == ([0], [0, *range(7, 12)], [], list(range(4, 12)))
    # So may 10 where it is conditioning: of those before it 8 and 4 can be selected, and 2 keeps them too many.
    few = MemoryBankConfig(max_cond_frames_in_attn=2)
    assert lasting_frames(10, [0, 2, 10, 4, 8], [], [], few).conditioning == [2, 10, 4, 8]


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
