"""Recordings made up from a seed, nothing in them square, sorted or empty."""

import numpy as np

from memory_attention.looks import Look
from memory_attention.recording import Recording

GRID = (3, 5)
HEADS, LAYERS, POINTER_TOKENS = 2, (0, 3), 4


def softmax_rows(rng, *shape):
    """Positive rows that sum to one, with contrast."""
    logits = rng.normal(0, 3, shape)
    rows = np.exp(logits - logits.max(-1, keepdims=True))
    return (rows / rows.sum(-1, keepdims=True)).astype(np.float32)


def draw_look(rng, frame, name, memory_frames=(0, 2), pointer_frames=(0, 4, 2), queries=(7, 1), **more):
    """A look at that many memories and pointers."""
    known = memory_frames is not None
    tokens = (len(memory_frames) if known else 2) * GRID[0] * GRID[1]
    pointers = (len(pointer_frames) if known else 3) * POINTER_TOKENS
    rows = {("cross", layer): softmax_rows(rng, HEADS, len(queries), tokens + pointers) for layer in LAYERS}
    rows["self", 3] = softmax_rows(rng, HEADS, len(queries), GRID[0] * GRID[1])
    return Look(frame, name, GRID, np.array(queries), rows, pointers, memory_frames, pointer_frames, **more)


def draw_recording(seed=0):
    """Two objects; frame 5 was tracked twice, the second time backwards; of frame 6 little is known."""
    rng = np.random.default_rng(seed)
    looks = [
        draw_look(rng, 5, "ball", prompted=(0,)),
        draw_look(rng, 5, "<b>box</b>", (2,), ()),
        draw_look(rng, 6, "ball", None, None, frame_known=False),
        draw_look(rng, 5, "ball", (9, 6, 0), (6,), (14,), prompted=(9, 0), backwards=True),
        draw_look(rng, 3, "ball", (0,), (0,)),
    ]
    recording = Recording({"model": "A <model> & more", "fingerprint": "f00d"}, looks)
    images = {number: rng.integers(0, 256, (90, 160, 3), np.uint8) for number in (0, 2, 3, 5, 6, 7, 9)}
    return recording.add_images(images, {5: rng.random((2, 90, 160)) < 0.5})


def check_same(found, truth):
    """Both recordings are the same, number for number."""
    assert (found.made_by, found.stopped, len(found.looks)) == (truth.made_by, truth.stopped, len(truth.looks))
    for one, other in zip(found.looks, truth.looks, strict=True):
        plain = [name for name in vars(one) if name not in ("queries", "rows")]
        assert {name: getattr(one, name) for name in plain} == {name: getattr(other, name) for name in plain}
        np.testing.assert_array_equal(one.queries, other.queries)
        assert one.rows.keys() == other.rows.keys()
        for place, rows in one.rows.items():
            np.testing.assert_array_equal(rows, other.rows[place], strict=True)
    for mine, theirs in ((found.images, truth.images), (found.masks, truth.masks)):
        assert mine.keys() == theirs.keys()
        for number, picture in mine.items():
            np.testing.assert_array_equal(picture, theirs[number], strict=True)
