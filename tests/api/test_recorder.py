"""A recorder keeps what was asked for, as long as there is room, and believes only what fits."""

import numpy as np
import pytest

from memory_attention.recorder import Recorder, Told, Wishes, bytes_of_row
from memory_attention.recording import Recording
from recordings import GRID, HEADS, POINTER_TOKENS, softmax_rows

TOKENS = GRID[0] * GRID[1]
RNG = np.random.default_rng(5)


def made(queries=(7, 1), **wishes):
    return Recorder(Recording(), Wishes(queries, **wishes), 3, POINTER_TOKENS)


def call(recorder, told=None, memories=2, pointers=1, objects=1):
    """One call of three layers, at `memories` frames and `pointers` pointers."""
    recorder.begin(told or Told())
    rows = {}
    for layer in range(3):
        keys = memories * TOKENS + pointers * POINTER_TOKENS
        tokens = recorder.tokens(layer, GRID, bytes_of_row((objects, HEADS), (objects, HEADS, keys)))
        if tokens is not None:
            shape = (objects, HEADS, len(tokens), keys)
            rows[layer] = softmax_rows(RNG, *shape)
            recorder.keep(layer, rows[layer], pointers * POINTER_TOKENS)
    recorder.end()
    return rows


def test_what_the_host_says_stands_beside_the_rows():
    recorder = made()
    rows = call(recorder, Told(8, ["cat", "dog"], (0, 6), (6,), (0,), backwards=True), objects=2)
    for index, look in enumerate(recorder.recording.looks):
        said = (look.frame, look.frame_known, look.backwards, look.object, look.grid)
        assert said == (8, True, True, ("cat", "dog")[index], GRID)
        assert (look.memory_frames, look.pointer_frames, look.prompted) == ((0, 6), (6,), (0,))
        assert look.queries.tolist() == [7, 1]
        for layer in range(3):
            np.testing.assert_array_equal(look.rows["cross", layer], rows[layer][index])


@pytest.mark.parametrize(("memories", "pointers"), [((0,), (6,)), ((0, 6), ()), ((0, 6), (6, 5)), ((0, 6), None)])
def test_frames_that_are_not_as_many_as_the_tokens_are_unknown(memories, pointers):
    recorder = made()
    call(recorder, Told(8, [], memories, pointers, (0,)))
    (look,) = recorder.recording.looks
    assert (look.frame, look.memory_frames, look.pointer_frames, look.prompted) == (8, None, None, ())


def test_calls_of_which_nothing_is_said_are_counted():
    recorder = made(frames=np.array([1, 2]), layers=np.int64(-1))
    for _ in range(3):
        call(recorder, objects=2)
    looks = recorder.recording.looks
    assert [(look.frame, look.object, look.frame_known) for look in looks] == [
        (frame, name, False) for frame in (1, 2) for name in ("1", "2")
    ]
    assert recorder.recording.layers == (2,)


def test_no_names_for_another_number_of_objects():
    recorder = made()
    call(recorder, Told(3, ["cat"]), objects=2)
    assert recorder.recording.objects == ("1", "2")


def test_a_call_that_was_broken_off_is_forgotten():
    recorder = made()
    recorder.begin(Told(4))
    recorder.keep(0, softmax_rows(RNG, 1, HEADS, 2, TOKENS), 0)
    call(recorder, Told(5))
    recorder.end()
    assert recorder.recording.frames == (5,)
    assert recorder.recording.layers == (0, 1, 2)


def test_the_mask_last_found():
    mask = np.zeros((6, 10), bool)
    mask[0:2, 4:8] = True
    recorder = made("found")
    call(recorder, Told(3, found=lambda: mask))
    assert recorder.recording.looks[0].queries.tolist() == [2, 3]
    with pytest.warns(RuntimeWarning, match="frame 4 was not recorded: no mask of its object was found yet"):
        assert call(recorder, Told(4, found=lambda: None)) == {}
    with pytest.raises(ValueError, match="this model does not say what it found: expected token numbers, a mask"):
        call(recorder)
    assert recorder.recording.frames == (3,)


def test_past_the_limit_what_is_there_stays():
    one = made()
    call(one)
    size = one.recording.nbytes
    recorder = made(memory_limit=3 * size - 1)
    call(recorder, Told(7))
    call(recorder, Told(8))
    with pytest.warns(
        RuntimeWarning, match="the recording stopped: frame 9 would make it .* more than memory_limit"
    ):
        call(recorder, Told(9))
    # Nothing is computed, and nobody warned, once it has stopped.
    assert call(recorder, Told(10)) == {}
    assert recorder.recording.frames == (7, 8)
    assert "frame 9 would make it" in recorder.recording.stopped


def test_rows_that_have_no_room_are_not_computed():
    """A row of the layers asked for is counted before the first of them is there, whole."""
    row = bytes_of_row((3, 4, 5, 6), (3, 4, 7, 6))
    assert row == np.empty((3, 4, 1, 7), np.float32).nbytes
    recorder = made(layers=[0, 2], memory_limit=2 * 2 * row - 1)
    recorder.begin(Told(7))
    with pytest.warns(RuntimeWarning, match="the recording stopped: frame 7"):
        assert recorder.tokens(0, GRID, row) is None
    recorder.end()
    assert recorder.recording.looks == []
    recorder = made(layers=[0, 2], memory_limit=2 * 2 * row)
    recorder.begin(Told(7))
    assert recorder.tokens(0, GRID, row).tolist() == [7, 1]


@pytest.mark.parametrize(
    ("wishes", "error", "message"),
    [
        ({"layers": [0, 3]}, ValueError, "layers has 3, expected -3 to 2"),
        ({"layers": -4}, ValueError, "layers is -4, expected -3 or more"),
        ({"layers": []}, ValueError, "layers is empty"),
        ({"layers": "all"}, TypeError, "layers is 'a', expected a whole number"),
        ({"frames": [1, 2.5]}, TypeError, "frames is 2.5, expected a whole number"),
        ({"frames": "3"}, TypeError, "frames is '3', expected a whole number"),
        ({"most_queries": 0}, ValueError, "most_queries is 0, expected 1 or more"),
        ({"memory_limit": -1}, ValueError, "memory_limit is -1"),
    ],
)
def test_wishes_that_cannot_be(wishes, error, message):
    with pytest.raises(error, match=message):
        made(**wishes)
