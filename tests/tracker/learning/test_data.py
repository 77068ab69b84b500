"""The clips: the same from the same seed, with masks that are true."""

import numpy as np
import pytest

from memory_attention.tracker.learning.data import SIZE, Piece, draw_outline, draw_path, make_clip
from memory_attention.tracker.learning.photographs import HELD_OUT, TRAINING

pytest.importorskip("skimage", reason="the clips are made of scikit-image's photographs")

TIMES = np.arange(6, dtype=np.float64)


@pytest.mark.parametrize("recolour", [False, True])
def test_clips_are_made_by_their_seed(recolour: bool) -> None:
    first, again, other = (make_clip(np.random.default_rng(seed), TRAINING, TIMES, recolour) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert not np.array_equal(first.frames, other.frames)


@pytest.mark.parametrize("seed", range(8))
def test_masks_show_what_is_seen(seed: int) -> None:
    clip = make_clip(np.random.default_rng(seed), HELD_OUT, TIMES)
    assert clip.frames.shape == (len(TIMES), SIZE, SIZE, 3)
    assert clip.frames.dtype == np.float32
    assert clip.frames.min() >= 0
    assert clip.frames.max() <= 1
    assert clip.masks.shape == (len(TIMES), clip.masks.shape[1], SIZE, SIZE)
    # Each pixel shows one object at most, and the target is there to be shown.
    assert clip.masks.sum(axis=1).max() <= 1
    assert clip.masks[0, 0].any()


def test_a_piece_paints_its_texture_where_it_says() -> None:
    rng = np.random.default_rng(0)
    piece = Piece.cut(rng, np.ones((96, 96, 3), np.float32), 16, draw_path(rng))
    image = np.zeros((SIZE, SIZE, 3), np.float32)
    covered = piece.paint(image, 2.0)
    np.testing.assert_array_equal(covered, image[..., 0] > 0.5)


def test_a_piece_outside_the_frame_paints_nothing() -> None:
    rng = np.random.default_rng(0)
    piece = Piece.cut(rng, np.ones((96, 96, 3), np.float32), 16, draw_path(rng))
    away = Piece(piece.texture, piece.outline, piece.radius, _far_path(), piece.turn, piece.growth)
    image = np.zeros((SIZE, SIZE, 3), np.float32)
    assert not away.paint(image, 0.0).any()
    assert not image.any()


def test_outlines_have_the_area_of_their_radius() -> None:
    for seed in range(20):
        outline = draw_outline(np.random.default_rng(seed))
        assert np.mean(outline**2) == pytest.approx(1, abs=1e-5)


def _far_path():
    from memory_attention.tracker.learning.data import Path

    return Path(np.full(2, 1000.0), np.zeros(2), np.zeros(2), 0, 0, bounded=False)
