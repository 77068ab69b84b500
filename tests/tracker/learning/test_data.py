"""The clips: the same from the same seed, with masks that are true."""

import json
from dataclasses import fields, replace
from pathlib import Path as File

import numpy as np
import pytest

from memory_attention.tracker.evaluation import held_out_clip, iou
from memory_attention.tracker.learning.data import (
    SIZE,
    Piece,
    crossing_path,
    draw_outline,
    draw_path,
    make_clip,
    put_elsewhere,
)
from memory_attention.tracker.learning.photographs import HELD_OUT, TRAINING

pytest.importorskip("skimage", reason="the clips are made of scikit-image's photographs")

ROOT = File(__file__).resolve().parents[3]
TIMES = np.arange(6, dtype=np.float64)


@pytest.mark.parametrize("recolour", [False, True])
def test_clips_are_made_by_their_seed(recolour: bool) -> None:
    first, again, other = (make_clip(np.random.default_rng(seed), TRAINING, TIMES, recolour) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert not np.array_equal(first.frames, other.frames)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_masks_show_what_is_seen(seed: int, hard: bool) -> None:
    clip = make_clip(np.random.default_rng(seed), HELD_OUT, TIMES, hard=hard)
    assert clip.frames.shape == (len(TIMES), SIZE, SIZE, 3)
    assert clip.frames.dtype == np.float32
    assert clip.frames.min() >= 0
    assert clip.frames.max() <= 1
    assert clip.masks.shape == (len(TIMES), clip.masks.shape[1], SIZE, SIZE)
    # Each pixel shows one object at most, and the target is there to be shown.
    assert clip.masks.sum(axis=1).max() <= 1
    assert clip.masks[0, 0].any()


def test_the_held_out_clips_are_those_of_the_committed_figures() -> None:
    """Copying the first mask knows nothing but the clips; pixels at outlines may differ between machines."""
    figures = json.loads((ROOT / "benchmarks" / "results" / "tracker.json").read_text())["figures"]["reference"]
    masks = [held_out_clip(index, figures["frames"]).masks[:, 0] for index in range(figures["clips"])]
    ious = [np.nanmean(iou(np.broadcast_to(one[0], one[1:].shape), one[1:])) for one in masks]
    assert np.mean(ious) == pytest.approx(figures["iou_of_first_mask"], abs=1e-4)
    hidden = sum(int((~one[1:].any(axis=(1, 2))).sum()) for one in masks)
    assert hidden == figures["hidden_frames"]


def test_a_hard_clip_hides_its_target_more_often() -> None:
    times = np.arange(16, dtype=np.float64)

    def hidden(hard: bool) -> int:
        clips = (make_clip(np.random.default_rng(seed), TRAINING, times, hard=hard) for seed in range(12))
        return sum(int((~clip.masks[:, 0].any(axis=(1, 2))).sum()) for clip in clips)

    assert hidden(True) > 2 * hidden(False)


def test_a_cut_moves_every_piece_and_leaves_the_rest_of_it() -> None:
    rng = np.random.default_rng(2)
    pieces = [Piece.cut(rng, np.ones((96, 96, 3), np.float32), 11 + n, draw_path(rng)) for n in range(3)]
    gone = 0
    for _ in range(40):
        after = put_elsewhere(rng, pieces)
        for before, moved in zip(pieces, after, strict=True):
            assert not np.array_equal(moved.path.start, before.path.start)
            kept = replace(moved, path=before.path)
            assert all(getattr(kept, field.name) is getattr(before, field.name) for field in fields(Piece))
        assert all(piece.path.bounded for piece in after[1:])
        gone += not after[0].path.bounded
    assert 0 < gone < 40


def test_an_occluder_that_is_away_at_first_crosses_the_target_in_time() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        target, time = draw_path(rng), rng.uniform(3, 9)
        path = crossing_path(rng, target, time, speeds=(2, 6), away=60)
        np.testing.assert_allclose(path.at(time), target.at(time), atol=1e-9)
        assert np.linalg.norm(path.at(0) - path.at(time)) >= 60 - 1e-9


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
