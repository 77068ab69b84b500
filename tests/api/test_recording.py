"""What a recording is asked: rows, shares, pictures; and what it is not."""

import numpy as np
import pytest

import memory_attention as ma
from memory_attention.recording import Recording, fingerprint_of
from recordings import GRID, HEADS, POINTER_TOKENS, draw_look, draw_recording

TOKENS = GRID[0] * GRID[1]


def test_what_is_there():
    recording = draw_recording()
    assert recording.frames == (3, 5, 6)
    assert recording.objects == ("ball", "<b>box</b>")
    assert recording.layers == (0, 3)
    assert recording.look(5, "ball") is recording.looks[3]
    rows = sum(rows.nbytes for look in recording.looks for rows in look.rows.values())
    assert recording.nbytes == rows + 6 * 90 * 160 * 3 + 2 * 90 * 160


def test_patterns():
    recording = draw_recording()
    last = recording.looks[3].rows["cross", 3]
    assert last.shape == (HEADS, 1, 3 * TOKENS + POINTER_TOKENS)
    np.testing.assert_array_equal(recording.pattern[3, 5, "ball"], last[None])
    np.testing.assert_array_equal(recording.pattern[0, 3], recording.looks[4].rows["cross", 0][None])
    rng = np.random.default_rng(1)
    together = Recording({}, [draw_look(rng, 2, name) for name in ("a", "b", "c")])
    rows = [look.rows["cross", 0] for look in together.looks]
    np.testing.assert_array_equal(together.pattern[0, 2], np.stack(rows))


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        (3, TypeError, r"pattern is asked for 3, expected \[layer, frame\]"),
        ((1, 5, "ball"), ValueError, "layer 1 was not recorded, expected one of 0, 3"),
        ((0, 4), ValueError, "frame 4 was not recorded, expected one of 3, 5, 6"),
        ((0, 5), ValueError, r"queries or memories of their own, expected one of them: pattern\[0, 5, 'ball'\]"),
        ((0, 5, "dog"), ValueError, "object dog was not recorded there, expected one of ball, <b>box</b>"),
    ],
)
def test_patterns_that_are_not_there(place, error, message):
    with pytest.raises(error, match=message):
        draw_recording().pattern[place]


@pytest.mark.parametrize("change", [{"queries": (7, 2)}, {"memory_frames": (0, 1)}, {"pointer_frames": (0, 4)}])
def test_objects_that_differ_are_not_stacked(change):
    rng = np.random.default_rng(1)
    recording = Recording({}, [draw_look(rng, 2, "a"), draw_look(rng, 2, "b", **change)])
    with pytest.raises(ValueError, match="of their own"):
        recording.pattern[0, 2]


def test_shares_by_memory():
    recording = draw_recording()
    shares = recording.by_memory("ball")
    assert shares.frames == (3, 5, 6)
    assert shares.memory_frames == (0, 6, 9, "unknown")
    assert shares.pointer_frames == (0, 6, "unknown")
    seen = [[True, False, False, False], [True, True, True, False], [False, False, False, True]]
    np.testing.assert_array_equal(np.isnan(shares.memories), ~np.array(seen))
    sums = np.nansum(shares.memories, axis=1) + np.nansum(shares.pointers, axis=1)
    np.testing.assert_allclose(sums, 1, rtol=1e-6)
    # By hand, of the look that came last: memories 9, 6, 0, then the pointer of 6.
    last = recording.looks[3]
    for layer in (None, 3):
        layers = (0, 3) if layer is None else (3,)
        row = sum(last.rows["cross", one].sum(axis=(0, 1), dtype=float) for one in layers) / len(layers) / HEADS
        found = recording.by_memory("ball", layer)
        expected = [row[2 * TOKENS : 3 * TOKENS], row[TOKENS : 2 * TOKENS], row[:TOKENS]]
        np.testing.assert_allclose(found.memories[1, :3], [part.sum() for part in expected], rtol=1e-6)
        np.testing.assert_allclose(found.pointers[1, 1], row[3 * TOKENS :].sum(), rtol=1e-6)


def test_each_pointer_has_its_own_share():
    recording = Recording({}, [draw_look(np.random.default_rng(2), 7, "a", (4,), (9, 1))])
    row = recording.looks[0].rows["cross", 3].mean(axis=(0, 1), dtype=float)
    shares = recording.by_memory(layer=3)
    assert shares.pointer_frames == (1, 9)
    np.testing.assert_allclose(
        shares.pointers[0], [row[TOKENS + 4 :].sum(), row[TOKENS : TOKENS + 4].sum()], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "object is none, expected one of ball, <b>box</b>"),
        ({"object": "dog"}, "object dog was not recorded"),
        ({"object": "ball", "layer": 2}, "layer 2 was not recorded, expected one of 0, 3"),
    ],
)
def test_shares_that_are_not_there(asked, message):
    with pytest.raises(ValueError, match=message):
        draw_recording().by_memory(**asked)
    with pytest.raises(ValueError, match="expected one of none"):
        Recording().by_memory()


def test_pictures_of_frames_that_count_are_kept_small():
    rng = np.random.default_rng(3)
    recording = Recording({}, [draw_look(rng, 2, "a", (0, 4))])
    images = rng.random((5, 40, 512, 3), np.float32)
    assert recording.add_images(images, images[..., 0] > 0.5) is recording
    assert sorted(recording.images) == sorted(recording.masks) == [0, 2, 4]
    assert recording.images[4].shape == (20, 256, 3)
    assert recording.masks[0].shape == (1, 20, 256)
    expected = (images[4].reshape(20, 2, 256, 2, 3).mean(axis=(1, 3)) * 255).round()
    assert np.abs(recording.images[4] - expected).max() <= 1
    before = dict(recording.images)
    with pytest.raises(ValueError, match=r"masks\[2\] has shape"):
        recording.add_images({0: images[1], 2: images[1]}, {2: np.zeros(3)})
    assert recording.images == before


def test_it_shows_itself_small_and_escaped():
    recording = draw_recording()
    text = recording._repr_html_()
    assert "A &lt;model&gt; &amp; more" in text
    assert "object &lt;b&gt;box&lt;/b&gt;" in text
    assert "<b>" not in text
    assert "<td>memory 9</td>" in text
    assert repr(recording).startswith(
        "Recording of A <model> & more: 5 looks (frames 3, 5, 6; objects ball, <b>box"
    )
    recording.stopped = "it was full"
    assert repr(recording).endswith("; stopped: it was full")
    rng = np.random.default_rng(4)
    long = Recording({}, [draw_look(rng, frame, "x" * 500, (frame - 1,), (0,)) for frame in range(1, 200)])
    assert len(long._repr_html_()) < 5000
    assert Recording()._repr_html_() == "<p>Recording of a model: 0 looks, 0 MB</p>"


def test_the_same_weights_are_the_same_model():
    tiny, other = ma.load("tiny"), ma.load("tiny", seed=1)
    assert fingerprint_of(tiny) == fingerprint_of(ma.load("tiny", "accelerated", device="cpu"))
    assert fingerprint_of(tiny) != fingerprint_of(other)
    for name in tiny.weights:
        changed = {**tiny.weights, name: tiny.weights[name] + 1}
        assert (fingerprint_of(ma.load("tiny", weights=changed)) != fingerprint_of(tiny)) == (".layers." in name)
    recording = Recording({"model": "mine", "fingerprint": fingerprint_of(tiny)})
    recording.check_made_by(tiny)
    with pytest.raises(ValueError, match="of another model: a mine with weights that are not those of this Model"):
        recording.check_made_by(other)
