"""Pictures of tracked videos: every object is drawn and named, in the shape of the user's frames, or none is."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from memory_attention.configs import load_config
from memory_attention.pictures.colours import OBJECTS
from memory_attention.pictures.figures import Figure, save
from memory_attention.pictures.outlines import outline, outlines, overlay
from memory_attention.tracker import Tracker, initial_weights, plots
from memory_attention.tracker.plots import (
    PANEL,
    Plate,
    draw_tracking,
    draw_training_log,
    object_attention,
    object_cells,
)

CONFIG = load_config("tracker")
SIDE, STRIDE = CONFIG.image_size, CONFIG.backbone_stride
SIZE = (90, 240)
NAMES = ("object 4", "object 7")


@pytest.fixture(scope="module")
def tracked():
    rng = np.random.default_rng(0)
    tracker = Tracker(CONFIG, initial_weights(CONFIG, seed=1), "reference")
    frames = rng.random((4, SIDE, SIDE, 3)).astype(np.float32)
    masks = np.zeros((4, 2, SIDE, SIDE), bool)
    masks[:, 0, 20:60, 10:50], masks[:, 1, 70:100, 80:120] = True, True
    return tracker, frames, masks, list(tracker.follow(frames, masks[0]))


def contours(axis):
    """The colours of the outlines on an axis."""
    return [to_hex(colour) for drawn in axis.collections for colour in drawn.get_edgecolor()]


@given(st.integers(0, SIDE - 1), st.integers(0, SIDE - 1), st.integers(1, 40), st.integers(1, 40))
def test_cells_are_those_under_the_mask(top, left, height, width):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + height, left : left + width] = True
    cells = object_cells(mask, STRIDE)
    corners = [(row, column) for row in range(0, SIDE, STRIDE) for column in range(0, SIDE, STRIDE)]
    counts = [mask[row : row + STRIDE, column : column + STRIDE].sum() for row, column in corners]
    expected = [cell for cell, count in enumerate(counts) if count > STRIDE**2 / 2]
    assert cells == (expected or [cell for cell, count in enumerate(counts) if count == max(counts)])


def test_an_empty_mask_has_no_cells(tracked):
    tracker, _, masks, steps = tracked
    assert object_cells(np.zeros((SIDE, SIDE), bool), STRIDE) == []
    with pytest.raises(ValueError, match="mask of frame 2 is empty"):
        object_attention(tracker, steps[2], masks[2, 0] & False, 0)
    with pytest.raises(ValueError, match="frame 0, which was prompted"):
        object_attention(tracker, steps[0], masks[0, 0], 0)


def test_the_attention_is_that_of_the_object(tracked):
    tracker, _, masks, steps = tracked
    for index in (0, 1):
        cells = object_cells(masks[3, index], STRIDE)
        expected = tracker.attention.attention_map(*steps[3].seen, layer=1, queries=cells)[index].mean(axis=(0, 1))
        np.testing.assert_array_equal(object_attention(tracker, steps[3], masks[3, index], 1, index), expected)


@pytest.mark.parametrize(("shares", "expected"), [([0.3, 0.2], 1), ([0.3, 0.05], 0), ([0.01, 0.05], 1)])
def test_the_layer_drawn_is_the_last_that_looks_at_memories(tracked, monkeypatch, shares, expected):
    tracker, frames, masks, steps = tracked
    seen = steps[3].seen

    def attention(tracker, step, mask, layer, index):
        row = np.full(len(seen.memory), (1 - shares[layer]) / seen.num_obj_ptr_tokens)
        spatial = len(row) - seen.num_obj_ptr_tokens
        row[:spatial] = shares[layer] / spatial
        return row

    monkeypatch.setattr(plots, "object_attention", attention)
    assert plots.layer_on_memory(tracker, steps[3], masks[3, 0]) == expected
    figure = draw_tracking(tracker, frames, masks, steps, names=NAMES)
    assert f"layer {expected}; object pointers take {1 - shares[expected]:.0%}" in figure.get_suptitle()


@pytest.mark.parametrize("shown", [0, 1])
def test_every_object_is_drawn_and_named(tracked, shown):
    tracker, frames, masks, steps = tracked
    figure = draw_tracking(tracker, frames, masks, steps, names=NAMES, shown_object=shown, size=SIZE)
    above, below = figure.axes[: len(figure.axes) // 2], figure.axes[len(figure.axes) // 2 :]
    for axis in above[:4]:
        assert contours(axis) == list(OBJECTS[:2])
        assert [text.get_text() for text in axis.texts] == list(NAMES)
    assert contours(below[0]) == [OBJECTS[shown]]
    assert f"attention of {NAMES[shown]}" in figure.get_suptitle()
    # The frames have the user's shape, and names and outlines lie where the objects do.
    assert above[0].images[0].get_extent() == [0, SIZE[1], SIZE[0], 0]
    assert above[0].get_aspect() in (1, "equal")
    place = above[0].texts[1].get_position()
    np.testing.assert_allclose(place, (99.5 / SIDE * SIZE[1], 70 / SIDE * SIZE[0]), atol=1)


@given(
    corners=st.lists(st.tuples(st.integers(0, SIDE - 8), st.integers(0, SIDE - 8)), min_size=2, max_size=4),
    height=st.integers(60, 400),
)
@settings(max_examples=12)
def test_names_are_whole_and_cover_no_other(corners, height):
    """Whatever the objects' places, at the edge and over each other, and the shape of the frames."""
    masks = np.zeros((len(corners), SIDE, SIDE), bool)
    for mask, (top, left) in zip(masks, corners, strict=True):
        mask[top : top + 8, left : left + 8] = True
    size = (height, 240)
    figure = Figure(figsize=(PANEL, PANEL * height / 240), dpi=120)
    axis = figure.add_axes((0, 0, 1, 1))
    plate = Plate(size, SIDE)
    plate.show(axis, np.zeros((SIDE, SIDE, 3)))
    names = [f"object {10**index}" for index in range(len(corners))]
    plate.outlines(axis, masks, names)
    FigureCanvasAgg(figure).draw()
    boxes = [text.get_bbox_patch().get_window_extent() for text in axis.texts]
    frame = axis.get_window_extent()
    for index, box in enumerate(boxes):
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert box.y1 <= frame.y1
        assert not any(box.overlaps(other) for other in boxes[:index])


def test_names_of_users_are_no_formulas(tracked, tmp_path):
    tracker, frames, masks, steps = tracked
    name = r"a$\frac$ 视频"
    for figure in (
        draw_tracking(tracker, frames, masks, steps, title=name),
        draw_training_log([{"step": 1.0, "loss": 2.0, "iou": 0.5}], title=name),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            save(figure, tmp_path / "a.png")


def test_with_several_objects_it_is_said_whose_figures_these_are(tracked):
    tracker, frames, masks, steps = tracked
    said = [
        draw_tracking(tracker, frames, masks, steps, ious, names=names, shown_object=1).get_suptitle()
        for ious, names in (([1.0, 0.5, 0.5, 0.5], NAMES), ([1.0, 0.5, 0.5, 0.5], ()), (None, NAMES))
    ]
    assert ["IoU of object 7" in words for words in said] == [True, False, False]


def test_one_object_needs_no_name(tracked):
    tracker, frames, masks, steps = tracked
    figure = draw_tracking(tracker, frames, masks[:, 0], steps, names=NAMES[:1])
    assert not figure.axes[0].texts
    assert contours(figure.axes[0]) == [OBJECTS[0]]
    assert "attention of" not in figure.get_suptitle()


def test_the_last_frame_in_which_the_object_was_found_looks(tracked):
    tracker, frames, masks, steps = tracked
    lost = masks.copy()
    lost[3, 0] = False
    figure = draw_tracking(tracker, frames, lost, {1: steps[1], 2: steps[2], 3: steps[3]}, names=NAMES)
    assert "frame 2 looks at" in [axis.get_title() for axis in figure.axes]
    assert [text.get_text() for text in figure.axes[3].texts] == [NAMES[1]]


def test_nothing_found_is_said(tracked):
    tracker, frames, masks, steps = tracked
    nothing = masks & False
    nothing[0] = masks[0]
    figure = draw_tracking(tracker, frames, nothing, steps, names=NAMES)
    said = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert "nothing was found of the object: no query to look from" in said
    assert "layer" not in figure.get_suptitle()
    figure.canvas.draw()


def test_outlines_are_the_border_and_the_first_object_is_on_top():
    masks = np.zeros((3, 12, 17), bool)
    masks[0, 3:8, 2:9], masks[1, 5:11, 4:15] = True, True
    border = outline(masks[0])
    inside = np.zeros_like(border)
    inside[4:7, 3:8] = True
    np.testing.assert_array_equal(border, masks[0] & ~inside)
    picture = outlines(masks)
    np.testing.assert_array_equal(picture[..., 3] > 0, border | outline(masks[1]))
    first = tuple(bytes.fromhex(OBJECTS[0][1:]))
    assert {tuple(pixel) for pixel in picture[border][:, :3]} == {first}
    assert not outlines(masks[2:]).any()


def test_an_overlay_leaves_the_rest_and_the_image_itself_alone():
    image = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)
    copy = image.copy()
    mask = np.zeros((1, 12, 17), bool)
    mask[0, 3:9, 4:12] = True
    painted = overlay(image, mask)
    np.testing.assert_array_equal(image, copy)
    np.testing.assert_array_equal(painted[~mask[0]], image[~mask[0]])
    colour = np.array(list(bytes.fromhex(OBJECTS[0][1:])))
    np.testing.assert_allclose(painted[5, 7], 0.6 * image[5, 7] + 0.4 * colour, atol=1)
    np.testing.assert_array_equal(painted[3, 6], colour)
