"""A session that threads share, or that is given frames too dark to show an object."""

import threading

import numpy as np
import pytest

from sessions import BLIND, FRAMES, MASKS, TRACKER


def test_a_prompted_frame_of_bytes_has_more_than_two_greys():
    session = BLIND.start()
    session.add_frame((FRAMES[0] > 0.5).astype(np.uint8))
    with pytest.raises(ValueError, match=r"frames\[0\] has dtype uint8 and colours up to 1, expected up to 255"):
        session.prompt("ball", MASKS[0])
    session.add_frame((FRAMES[1] * 255).astype(np.uint8))
    session.prompt("ball", MASKS[0])
    assert session.objects == ("ball",)


def test_threads_that_share_a_session_take_turns(monkeypatch):
    """The second must not number its frame, and see its memories, before the first one's are there."""
    session, alone = TRACKER.start(), TRACKER.start()
    for one in (session, alone):
        one.add_frame(FRAMES[0])
        one.prompt("ball", MASKS[0])
    encode, entered, leave, found = TRACKER.encode, threading.Event(), threading.Event(), {}

    def slow(images, *objects):
        entered.set()
        leave.wait(10)
        return encode(images, *objects)

    monkeypatch.setattr(TRACKER, "encode", slow)
    threads = [
        threading.Thread(
            daemon=True, target=lambda number=number: found.update({number: session.add_frame(FRAMES[number])})
        )
        for number in (1, 2)
    ]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    threads[1].join(0.2)
    leave.set()
    for thread in threads:
        thread.join(20)
    for number in (1, 2):
        ours, expected = found[number].steps["ball"], alone.add_frame(FRAMES[number]).steps["ball"]
        assert (ours.frame, ours.memory_frames) == (expected.frame, expected.memory_frames)
        np.testing.assert_array_equal(ours.logits, expected.logits)


def test_prompts_of_frames_that_are_gone_are_gone_too():
    """Else tracking anew would begin at a frame that is no longer there."""
    session = BLIND.start(past=1)
    for frame in FRAMES[:2]:
        session.add_frame(frame)
        session.prompt("ball", MASKS[0])
    for frame in FRAMES[2:5]:
        session.add_frame(frame)
    assert [tracked.frame for tracked in session.track()] == list(session.frames) == [3, 4]
