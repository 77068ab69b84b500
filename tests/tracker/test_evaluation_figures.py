"""What the report's figures are, each found again pixel by pixel and cell by cell; no network is run."""

import statistics
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings

from cases import seeds
from memory_attention.configs import load_config
from memory_attention.inputs import Inputs
from memory_attention.tracker import evaluation
from memory_attention.tracker.learning.data import Clip
from memory_attention.tracker.loop import Step

CONFIG = load_config("tiny")
STRIDE, SIDE = CONFIG.backbone_stride, CONFIG.grid[0]
FEWER = settings(max_examples=10)


def drawn_masks(rng, *shape):
    """Masks of which some are empty and none is symmetric."""
    masks = rng.random(shape) < 0.4
    return masks & (rng.random(shape[:-2]) < 0.7)[..., None, None]


@given(seed=seeds)
def test_iou_counts_pixels_and_has_no_answer_where_there_is_nothing(seed):
    rng = np.random.default_rng(seed)
    found, masks = drawn_masks(rng, 4, 3, 5, 7), drawn_masks(rng, 4, 3, 5, 7)
    result = evaluation.iou(found, masks)
    for place in np.ndindex(4, 3):
        one, other = set(zip(*found[place].nonzero(), strict=True)), set(zip(*masks[place].nonzero(), strict=True))
        expected = len(one & other) / len(one | other) if other else np.nan
        np.testing.assert_allclose(result[place], expected, rtol=1e-12)


class Replayed:
    """In the place of a tracker: it finds what it is told, with memory and pointers, and without each."""

    found = without = pointless = None

    def __init__(self, config, weights, backend, forgetful=False, device=None):
        pointers = config.memory_bank.use_obj_ptrs_in_encoder
        assert pointers or not forgetful
        self.logits = Replayed.without if forgetful else Replayed.found if pointers else Replayed.pointless

    def follow_batch(self, images, prompts):
        yield Step(0, prompts=prompts)
        for frame in range(1, len(images)):
            yield Step(frame, logits=np.where(self.logits[frame], 0.1, -0.1))


@FEWER
@given(seed=seeds)
def test_each_target_counts_by_its_mean_over_the_frames_in_which_it_is_in_sight(seed):
    rng = np.random.default_rng(seed)
    masks, found, without, pointless = (drawn_masks(rng, 5, 3, 6, 4) for _ in range(4))
    # The first target is in sight in one frame, the others in more: a mean over all frames is another one.
    masks[:2] = masks[3, 1:] = True
    masks[2:, 0] = False
    Replayed.found, Replayed.without, Replayed.pointless = found, without, pointless
    collected = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "Tracker", Replayed)
        shares = lambda tracker, step, masks: (np.full((2, 3), step.frame), np.full((2, 3), step.frame / 8))  # noqa: E731
        patch.setattr(evaluation, "attention_shares", shares)
        clip = Clip(np.zeros((5, 6, 4, 3)), masks)
        report = evaluation.evaluate_clip(CONFIG, {}, clip, collect=collected.append)

    def each(tracked):
        targets = []
        for k in range(3):
            seen = [t for t in range(1, 5) if masks[t, k].any()]
            overlaps = [(tracked[t, k] & masks[t, k]).sum() / (tracked[t, k] | masks[t, k]).sum() for t in seen]
            targets.append(sum(overlaps) / len(overlaps))
        return targets

    def expected(tracked):
        return pytest.approx(sum(each(tracked)) / 3)

    assert report.iou == expected(found)
    assert report.iou_without_memory == expected(without)
    assert report.iou_of_first_mask == expected(np.broadcast_to(masks[0], masks.shape))
    hidden = [(t, k) for t in range(1, 5) for k in range(3) if not masks[t, k].any()]
    assert report.hidden_frames == len(hidden) >= 3
    assert report.hidden_found_empty == pytest.approx(np.mean([not found[place].any() for place in hidden]))
    assert report.attention_share == (2.5, 2.5)
    assert report.pointer_share == (2.5 / 8, 2.5 / 8)
    assert report.iou_without_pointers == expected(pointless)
    costs = [one - other for one, other in zip(each(found), each(pointless), strict=True)]
    assert report.pointers_cost == pytest.approx(sum(costs) / 3)
    spread = statistics.stdev(costs) / 3**0.5
    assert report.pointers_cost_error == pytest.approx(spread)
    np.testing.assert_array_equal(np.concatenate(collected), found[1:])


def masks_of_cells(rng, cover):
    """Masks [T,B,S,S] in which each cell of `cover` [T,B,h,w] has so many of its pixels, anywhere in it."""
    order = rng.random((*cover.shape, STRIDE**2)).argsort(axis=-1)
    cells = (order < cover[..., None]).reshape(*cover.shape, STRIDE, STRIDE)
    return cells.swapaxes(3, 4).reshape(*cover.shape[:2], SIDE * STRIDE, SIDE * STRIDE)


@FEWER
@given(seed=seeds)
def test_the_attention_share_is_relative_to_the_area_of_the_targets_cells(seed):
    """Its rows are known: q of query n is √d·eₙ, k of key m the logarithms of what each query gives to it."""
    rng, cells, half = np.random.default_rng(seed), SIDE**2, STRIDE**2 // 2
    cover = rng.choice([0, half - 1, half, half + 1, 2 * half], (4, 3, SIDE, SIDE))
    cover[3, :, 0, 0] = cover[1, :, 1, 2] = half + 1
    cover[1:3, 2] = half  # The third target has no cell in memory.
    given_to = rng.random((3, 2, cells, 2 * cells + 5)) + 0.01
    query = np.broadcast_to(np.sqrt(cells) * np.eye(cells), (3, 2, cells, cells))
    key = np.log(given_to).swapaxes(-1, -2)
    trace = lambda *inputs, names: dict(zip(names, (query, key), strict=True))  # noqa: E731
    tracker = SimpleNamespace(config=CONFIG, attention=SimpleNamespace(trace=trace))
    step = Step(3, seen=Inputs(None, None), memory_frames=(2, 1))
    masks = masks_of_cells(rng, cover)
    shares, of_pointers = evaluation.attention_shares(tracker, step, masks)
    np.testing.assert_array_equal(evaluation.attention_share(tracker, step, masks), shares)

    every = (given_to / given_to.sum(axis=-1, keepdims=True)).mean(axis=1)
    rows = every[..., : 2 * cells]
    own = (cover > half).reshape(4, 3, cells)
    assert shares.shape == (1, 3)
    for target in range(2):
        remembered = [m for m in range(2 * cells) if own[(2, 1)[m // cells], target, m % cells]]
        looking = [n for n in range(cells) if own[3, target, n]]
        each = [sum(rows[target, n, m] for m in remembered) / rows[target, n].sum() for n in looking]
        expected = np.mean(each) / (len(remembered) / (2 * cells))
        np.testing.assert_allclose(shares[0, target], expected, rtol=1e-9)
    assert np.isnan(shares[0, 2])
    for target in range(3):
        on_pointers = [every[target, n, 2 * cells :].sum() for n in range(cells) if own[3, target, n]]
        expected = np.mean(on_pointers) if on_pointers else np.nan
        np.testing.assert_allclose(of_pointers[0, target], expected, rtol=1e-9)


def test_the_standard_error_needs_two_values():
    assert evaluation.standard_error(np.array([0.25, np.nan, 0.75])) == pytest.approx(0.25)
    assert np.isnan(evaluation.standard_error(np.array([0.25, np.nan])))
