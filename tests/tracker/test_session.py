"""Sessions: each object remembers its own prompts and frames, whatever else is followed, and when."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from memory_attention.tracker import Session, Tracker  # noqa: E402
from sessions import ACTIONS, BLIND, CONFIG, FEWER, FRAMES, MASKS, TRACKER, WEIGHTS, History, act  # noqa: E402


@given(ACTIONS, st.sampled_from([None, 0, 1, 3]))
def test_objects_see_what_the_rules_say(actions, past):
    session, history = BLIND.start(past), History()
    for action in [("add",), *actions, ("add",)]:
        act(session, action, history)
    kept = past is not None and past + 1
    assert len(session.frames) <= (kept or len(actions) + 2)
    assert session.frames == tuple(range(session.frames[0], session.frames[-1] + 1))


@FEWER
@given(ACTIONS)
def test_an_object_knows_nothing_of_the_others(actions):
    together, alone = TRACKER.start(), TRACKER.start()
    for action in [("add",), *actions, ("add",)]:
        if action[0] == "track" and "ball" not in alone.objects:
            continue
        tracked = act(together, action)
        if action[0] in ("prompt", "remove") and action[1] != "ball":
            continue
        for one, other in zip(tracked, act(alone, action), strict=True):
            assert ("ball" in one.steps) == ("ball" in other.steps)
            if "ball" in one.steps:
                assert_same(one.steps["ball"], other.steps["ball"])


@FEWER
@given(ACTIONS, ACTIONS)
def test_sessions_in_turns_are_as_each_alone(first, second):
    def results(session, actions):
        for action in [("add",), ("prompt", "ball", 0, 1), *actions]:
            yield act(session, action)

    alone = [list(results(TRACKER.start(), actions)) for actions in (first, second)]
    turns = [results(TRACKER.start(), actions) for actions in (first, second)]
    found = [[], []]
    for number in range(2 * max(map(len, alone))):
        found[number % 2] += [result for result in [next(turns[number % 2], None)] if result is not None]
    for one, other in zip(alone, found, strict=True):
        assert len(one) == len(other)
        for ours, theirs in zip(chain(*one), chain(*other), strict=True):
            for name, step in ours.steps.items():
                assert_same(step, theirs.steps[name])


def assert_same(one, other):
    assert (one.frame, one.memory_frames) == (other.frame, other.memory_frames)
    np.testing.assert_array_equal(one.masks, other.masks)
    if one.logits is not None:
        np.testing.assert_array_equal(one.logits, other.logits)


@pytest.mark.parametrize("past", [None, 0])
@pytest.mark.parametrize("backend", ["reference", "accelerated"])
def test_a_session_finds_what_follow_finds(backend, past):
    tracker = Tracker(CONFIG, WEIGHTS, backend, device="cpu")
    session = tracker.start(past)
    assert session.add_frame(FRAMES[0]).steps == {}
    session.prompt("ball", MASKS[0])
    found = [session.add_frame(frame).steps["ball"] for frame in FRAMES[1:]]
    for step, expected in zip(found, list(tracker.follow(FRAMES, MASKS[0]))[1:], strict=True):
        assert_same(step, expected)


def test_two_videos_are_followed_in_turns():
    videos = FRAMES, FRAMES[::-1]
    alone = [list(TRACKER.follow(video, MASKS[:2])) for video in videos]
    turns = zip(*(TRACKER.follow(video, MASKS[:2]) for video in videos), strict=True)
    for expected, found in zip(zip(*alone, strict=True), turns, strict=True):
        for one, other in zip(expected, found, strict=True):
            assert_same(one, other)
    assert TRACKER.bank.memories == {}


def test_frames_may_come_from_a_generator_one_at_a_time():
    came = []
    frames = (came.append(number) or frame for number, frame in enumerate(FRAMES))
    for step, expected in zip(
        TRACKER.follow(frames, MASKS[2]), list(TRACKER.follow(FRAMES, MASKS[2])), strict=True
    ):
        assert came == list(range(step.frame + 1))
        assert_same(step, expected)
    np.testing.assert_array_equal(TRACKER.track(iter(FRAMES), MASKS[2]), TRACKER.track(FRAMES, MASKS[2]))


def test_backwards_is_forwards_on_the_frames_in_reverse():
    # Prompted last and then first: with every second frame of the video the two would choose other frames.
    bank = CONFIG.memory_bank.model_copy(update={"memory_temporal_stride_for_eval": 1})
    tracker = Tracker(CONFIG.with_changes(memory_bank=bank), WEIGHTS, "reference")
    session = tracker.start()
    for frame in FRAMES:
        session.add_frame(frame)
    session.prompt("ball", MASKS[1])
    found = [tracked.steps["ball"] for tracked in session.track(backwards=True)]
    expected = list(tracker.follow(FRAMES[::-1], MASKS[1]))
    assert [step.frame for step in found] == list(range(len(FRAMES)))[::-1]
    for step, other in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_array_equal(step.logits, other.logits)
        assert step.memory_frames == tuple(len(FRAMES) - 1 - number for number in other.memory_frames)


def test_a_correction_counts_as_if_it_had_been_there_before():
    corrected, told = TRACKER.start(), TRACKER.start()
    for number, frame in enumerate(FRAMES[:6]):
        corrected.add_frame(frame)
        told.add_frame(frame)
        if number == 0:
            corrected.prompt("ball", MASKS[0])
    before = corrected.add_frame(FRAMES[6]).steps["ball"]
    told.add_frame(FRAMES[6])
    corrected.prompt("ball", MASKS[2], frame=3)
    told.prompt("ball", MASKS[0], frame=0)
    told.prompt("ball", MASKS[2], frame=3)
    again, expected = ([tracked.steps["ball"] for tracked in one.track()] for one in (corrected, told))
    for step, other in zip(again, expected, strict=True):
        assert_same(step, other)
    assert not np.array_equal(again[6].logits, before.logits)
    np.testing.assert_array_equal(again[3].masks[0], MASKS[2])


def test_an_empty_mask_says_that_the_object_is_not_there():
    session = TRACKER.start()
    session.add_frame(FRAMES[0])
    session.prompt("ball", MASKS[0])
    session.add_frame(FRAMES[1])
    session.prompt("ball", np.zeros_like(MASKS[0]))
    first, second = session.track()
    assert first.masks["ball"].any()
    assert not second.masks["ball"].any()


def test_what_is_handed_over_may_change_afterwards():
    image, mask = FRAMES[0].copy(), MASKS[0].copy()
    session, other = TRACKER.start(), TRACKER.start()
    session.add_frame(image)
    other.add_frame(FRAMES[0])
    image[:] = 0
    for one in (session, other):
        one.prompt("ball", mask)
    mask[:] = True
    next(session.track()).steps["ball"].prompts[:] = 0
    for one, expected in zip(session.track(), other.track(), strict=True):
        assert_same(one.steps["ball"], expected.steps["ball"])
    assert_same(session.add_frame(FRAMES[1]).steps["ball"], other.add_frame(FRAMES[1]).steps["ball"])


BAD = {
    "a frame to come": (lambda s: s.prompt("ball", MASKS[1], 5), ValueError, "frame is 5, expected one .* 1 to 3"),
    "a frame gone by": (lambda s: s.prompt("ball", MASKS[1], 0), ValueError, "frame is 0, expected one .* 1 to 3"),
    "half a frame": (lambda s: s.prompt("ball", MASKS[1], 1.5), TypeError, "frame is"),
    "a mask of another size": (lambda s: s.prompt("ball", MASKS[1, :9]), ValueError, r"mask has shape \(9, 64\)"),
    "two masks": (lambda s: s.prompt("ball", MASKS[:2]), ValueError, r"mask has shape \(2, 64, 64\)"),
    "no mask": (lambda s: s.prompt("ball", None), TypeError, "mask is None"),
    "greys": (lambda s: s.prompt("ball", MASKS[1] * 0.3), ValueError, "mask has values besides 0 and 1"),
    "words": (lambda s: s.prompt("ball", MASKS[1].astype(str)), TypeError, "mask has dtype"),
    "an empty mask": (lambda s: s.prompt("new", 0 * MASKS[1]), ValueError, "mask is empty"),
    "an empty only mask": (lambda s: s.prompt("ball", 0 * MASKS[1], 1), ValueError, "mask is empty"),
    "an object unheard of": (lambda s: s.remove("cat"), ValueError, "name is 'cat', expected .*: 'ball'"),
    "an image of another size": (lambda s: s.add_frame(FRAMES[0, :9]), ValueError, r"frames\[4\] has shape"),
    "an image of whole numbers": (
        lambda s: s.add_frame(FRAMES[0].astype(int)),
        TypeError,
        r"frames\[4\] has dtype",
    ),
    "a name that is a list": (lambda s: s.prompt(["ball"], MASKS[1]), TypeError, "name is .*, expected text"),
    "an object that is a list": (lambda s: s.remove(["ball"]), TypeError, "name is .*, expected text"),
    "a tensor with gradients": (
        lambda s: s.add_frame(torch.tensor(FRAMES[0], requires_grad=True)),
        TypeError,
        r"frames\[4\] is Tensor, expected an array",
    ),
    "an image that hides": (
        lambda s: s.add_frame(np.ma.masked_array(FRAMES[0], FRAMES[0] > 0.5)),
        TypeError,
        r"frames\[4\] is MaskedArray",
    ),
    "tracking from nowhere": (lambda s: s.track(0), ValueError, "frame is 0, expected one .* 1 to 3"),
}


@pytest.mark.parametrize(("call", "error", "message"), list(BAD.values()), ids=list(BAD))
def test_what_does_not_fit_is_named_and_changes_nothing(call, error, message):
    def begun():
        session = TRACKER.start(past=2)
        for frame in FRAMES[:2]:
            session.add_frame(frame)
        session.prompt("ball", MASKS[0])
        for frame in FRAMES[2:4]:
            session.add_frame(frame)
        return session

    session, other = begun(), begun()
    with pytest.raises(error, match=message):
        call(session)
    assert (session.objects, session.frames) == (("ball",), (1, 2, 3))
    for one in (session, other):
        one.prompt("late", MASKS[2])
    found, expected = (one.add_frame(FRAMES[4]) for one in (session, other))
    for name in ("ball", "late"):
        assert_same(found.steps[name], expected.steps[name])


def test_a_session_that_is_empty_says_so():
    session = TRACKER.start()
    assert isinstance(session, Session)
    with pytest.raises(ValueError, match="no frame yet"):
        session.prompt("ball", MASKS[0])
    with pytest.raises(ValueError, match="name is 'ball', expected .*: none yet"):
        session.remove("ball")
    session.add_frame(FRAMES[0])
    with pytest.raises(ValueError, match="no object yet"):
        session.track()
    with pytest.raises(ValueError, match="past is -1"):
        TRACKER.start(past=-1)


def test_a_step_that_fails_is_not_half_remembered(monkeypatch):
    session = TRACKER.start()
    session.add_frame(FRAMES[0])
    for name, mask in zip(("ball", "cat"), MASKS, strict=False):
        session.prompt(name, mask)
    remembered, calls = TRACKER._remembered, []

    def fail_the_second_time(*words, **named):
        calls.append(words)
        if len(calls) == 2:
            raise MemoryError
        return remembered(*words, **named)

    monkeypatch.setattr(TRACKER, "_remembered", fail_the_second_time)
    with pytest.raises(MemoryError):
        session.add_frame(FRAMES[1])
    assert session.frames == (0,)
    tracked = session.add_frame(FRAMES[1])
    assert (tracked.frame, list(tracked.steps)) == (1, ["ball", "cat"])


@pytest.mark.parametrize("backend", ["reference", "accelerated"])
def test_objects_that_see_equally_long_memories_are_one_batch(backend):
    tracker, given = Tracker(CONFIG, WEIGHTS, backend, device="cpu"), []
    attention = tracker.attention
    tracker.attention = lambda **inputs: given.append(inputs["memory"].shape[1]) or attention(**inputs)
    together, alone = tracker.start(), tracker.start()
    for session in (together, alone):
        session.add_frame(FRAMES[0])
        session.prompt("ball", MASKS[0])
    together.prompt("cat", MASKS[1])
    together.add_frame(FRAMES[1])
    together.prompt("late", MASKS[2])
    found = together.add_frame(FRAMES[2])
    assert given == [2, 2, 1]
    alone.add_frame(FRAMES[1])
    assert_same(found.steps["ball"], alone.add_frame(FRAMES[2]).steps["ball"])


def test_tracking_starts_at_the_first_prompt_and_backwards_at_the_last():
    session = BLIND.start()
    for frame in FRAMES[:6]:
        session.add_frame(frame)
    session.prompt("ball", MASKS[0], 4)
    session.prompt("cat", MASKS[1], 2)
    assert [tracked.frame for tracked in session.track()] == [2, 3, 4, 5]
    assert [tracked.frame for tracked in session.track(backwards=True)] == [4, 3, 2, 1, 0]
