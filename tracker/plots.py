"""Pictures of a tracked video: the masks found, and where an object's queries look."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from ..looks import last_on_memory
from ..pictures.colours import HEAT, LINE, TRUTH, object_colour
from ..pictures.figures import Figure, as_drawn
from .loop import Step
from .network import patches
from .tracker import Tracker

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def object_attention(
    tracker: Tracker, step: Step, mask: Bool[np.ndarray, "S S"], layer: int, index: int = 0
) -> Float[np.ndarray, " M"]:
    """The mean softmax row of the queries under the mask of the object `index`, in one layer, over the heads.

    Raises `ValueError` for a prompted frame, which looked at nothing, and for an empty mask, which has no query.
    """
    if step.seen is None:
        raise ValueError(f"step is that of frame {step.frame}, which was prompted and looked at nothing")
    queries = object_cells(mask, tracker.config.backbone_stride)
    if not queries:
        raise ValueError(f"mask of frame {step.frame} is empty, expected at least one pixel of the object")
    return tracker.attention.attention_map(*step.seen, layer=layer, queries=queries)[index].mean(axis=(0, 1))


def object_cells(mask: Bool[np.ndarray, "S S"], stride: int) -> list[int]:
    """The tokens of which more than half is under the mask; where none is, the fullest; none of an empty mask."""
    cover = patches(mask[None, ..., None], stride).mean(axis=-1).ravel()
    if not cover.any():
        return []
    return np.flatnonzero(cover > min(0.5, cover.max() - 1e-9)).tolist()


def layer_on_memory(tracker: Tracker, step: Step, mask: Bool[np.ndarray, "S S"], index: int = 0) -> int:
    """`last_on_memory` of the queries under an object's mask."""
    assert step.seen is not None
    layers = range(tracker.config.memory_attention.num_layers)
    spatial = len(step.seen.memory) - step.seen.num_obj_ptr_tokens
    return last_on_memory(
        {layer: object_attention(tracker, step, mask, layer, index)[:spatial].sum() for layer in layers}
    )


PANEL = 2.05
"""The width of a frame in a picture, in inches."""

LETTERS = 7
"""The size of an object's name in a picture, in points."""


class Plate:
    """How frames and masks of S × S pixels are drawn in the shape that the user's frames have."""

    def __init__(self, size: tuple[int, int], side: int) -> None:
        self.extent = (0.0, float(size[1]), float(size[0]), 0.0)
        self.x, self.y = ((np.arange(side) + 0.5) * length / side for length in (size[1], size[0]))

    def show(self, axis: "Axes", image: np.ndarray, **how: Any) -> Any:
        """Draw an image of any number of pixels over the whole frame."""
        return axis.imshow(image, extent=self.extent, **how)

    def outline(self, axis: "Axes", mask: Bool[np.ndarray, "S S"], colour: str, style: str = "-") -> None:
        """Draw a mask's outline."""
        if mask.any() and not mask.all():
            axis.contour(self.x, self.y, mask, levels=[0.5], colors=[colour], linewidths=1.8, linestyles=style)

    def outlines(self, axis: "Axes", masks: Bool[np.ndarray, "K S S"], names: Sequence[str] = ()) -> None:
        """Draw every object's outline in its colour, and its name above it where there are names and room."""
        for index, mask in enumerate(masks):
            self.outline(axis, mask, object_colour(index))
        taken: list[tuple[float, float]] = []
        for index, (mask, name) in enumerate(zip(masks, names, strict=False)):
            if mask.any():
                look = {"facecolor": object_colour(index), "edgecolor": "none", "boxstyle": "round,pad=0.15"}
                taken.append(self._room_for(name, mask, taken))
                axis.text(*taken[-1], name, fontsize=LETTERS, ha="center", va="bottom", bbox=look)

    def _room_for(
        self, name: str, mask: Bool[np.ndarray, "S S"], taken: Sequence[tuple[float, float]]
    ) -> tuple[float, float]:
        """The middle of a name's lower edge: on top of the mask, but within the frame, and below names there."""
        # A letter is about 0.65 of its size wide; a line with its margin twice as high.
        letter = LETTERS / 72 / PANEL * self.extent[1]
        width, height = 0.65 * letter * (len(name) + 1), 2 * letter
        rows, columns = np.nonzero(mask)
        half = min(width, self.extent[1]) / 2
        x = float(np.clip(self.x[int(np.median(columns))], half, self.extent[1] - half))
        y = max(float(self.y[rows.min()]), height)
        while any(abs(x - column) < width and abs(y - row) < height for column, row in taken):
            y += height / 2
        return x, y


def draw_tracking(
    tracker: Tracker,
    frames: Float[np.ndarray, "T S S 3"],
    found: Bool[np.ndarray, "T K S S"] | Bool[np.ndarray, "T S S"],
    steps: Sequence[Step] | Mapping[int, Step],
    ious: Sequence[float] | None = None,
    truth: Bool[np.ndarray, "T K S S"] | Bool[np.ndarray, "T S S"] | None = None,
    layer: int | None = None,
    title: str = "",
    names: Sequence[str] = (),
    shown_object: int = 0,
    size: tuple[int, int] | None = None,
) -> Figure:
    """Draw frames with the masks of all objects above, and below where one of them looks in each memory.

    That object is `shown_object`, in the last frame of `steps` in which it was found. `ious` are its, by frame;
    `names` are the objects'; `size` is the height and width whose shape the pictures get. `layer`, where
    none is given, is that of `layer_on_memory`.
    """
    found = found.reshape(len(found), -1, *found.shape[-2:])
    truth = None if truth is None else truth.reshape(found.shape)
    one = found[:, shown_object]
    labels = tuple(names) if len(names) > 1 else ()
    plate = Plate(size or frames.shape[1:3], frames.shape[1])
    shown = np.unique(np.linspace(0, len(frames) - 1, 6).round().astype(int))
    looks = steps if isinstance(steps, Mapping) else dict(enumerate(steps))
    in_sight = [number for number, step in looks.items() if step.seen is not None and one[number].any()]
    columns = max(len(shown), len(looks[max(in_sight)].memory_frames) + 1 if in_sight else 1)
    shape = plate.extent[2] / plate.extent[1]
    height = 2 * PANEL * min(max(shape, 0.3), 2.0) + 1.3
    figure = Figure(figsize=(PANEL * columns + 1.2, height), layout="constrained", dpi=120)
    axes = figure.subplots(2, columns, squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    for axis, number in zip(axes[0], shown, strict=False):
        plate.show(axis, frames[number])
        plate.outlines(axis, found[number], labels)
        for mask in truth[number] if truth is not None and number else ():
            plate.outline(axis, mask, TRUTH, ":")
        hidden = truth is not None and not truth[number, shown_object].any()
        said = "prompt" if number == 0 else ("hidden" if hidden else "")
        if not said and ious is not None:
            said = f"IoU {ious[number]:.2f}"
        axis.set_title(f"frame {number}" + (f": {said}" if said else ""), fontsize=10)
    note = "outline: mask found" + ("; dotted: truth" if truth is not None else "")
    note += f"; IoU of {labels[shown_object]}" if labels and ious is not None else ""
    if in_sight:
        last = looks[max(in_sight)]
        if layer is None:
            layer = layer_on_memory(tracker, last, one[last.frame], shown_object)
        layer %= tracker.config.memory_attention.num_layers
        pointers = _draw_looks(figure, axes[1], plate, tracker, frames, found, last, layer, shown_object)
        note += f"; layer {layer}; object pointers take {pointers:.0%}"
        note += f"; attention of {labels[shown_object]}" if labels else ""
    else:
        axes[1, 0].text(0, 0.5, "nothing was found of the object: no query to look from", fontsize=10)
    figure.suptitle(f"{as_drawn(title)}\n{note}", fontsize=11)
    return figure


def _draw_looks(
    figure: Figure,
    axes: "Sequence[Axes]",
    plate: Plate,
    tracker: Tracker,
    frames: np.ndarray,
    found: np.ndarray,
    step: Step,
    layer: int,
    index: int,
) -> float:
    """Draw where an object looks in each memory, and return the share of its attention on the pointers."""
    plate.show(axes[0], frames[step.frame])
    plate.outline(axes[0], found[step.frame, index], object_colour(index))
    axes[0].set_title(f"frame {step.frame} looks at", fontsize=10)
    row = object_attention(tracker, step, found[step.frame, index], layer, index)
    height, width = tracker.config.grid
    spatial = row[: len(step.memory_frames) * height * width].reshape(-1, height, width)
    relative = spatial * len(row)
    top = max(float(relative.max()), 1.0)
    for axis, number, heat, share in zip(
        axes[1:], step.memory_frames, relative, spatial.sum(axis=(1, 2)), strict=False
    ):
        plate.show(axis, frames[number].mean(axis=-1), cmap="gray", vmin=0, vmax=1)
        image = plate.show(axis, heat, cmap=HEAT, vmin=0, vmax=top, alpha=0.7)
        plate.outline(axis, found[number, index], object_colour(index))
        axis.set_title(f"frame {number}: {share:.0%}", fontsize=10)
    spare = axes[1 + len(step.memory_frames) :]
    where: dict[str, Any] = {"ax": list(axes), "pad": 0.01, "aspect": 14}
    if len(spare):
        where = {"cax": spare[0].inset_axes((0.02, 0.05, 0.06, 0.9))}
    figure.colorbar(image, label="attention,\nmultiples\nof uniform", **where)
    return float(1 - spatial.sum())


def draw_training_log(rows: Sequence[dict[str, float]], title: str = "") -> Figure:
    """Draw loss and IoU of training against the step, each as a running median of fifty steps."""
    figure = Figure(figsize=(8, 3.4), layout="constrained", dpi=110)
    steps = [row["step"] for row in rows]
    for axis, column, label in zip(figure.subplots(1, 2), ("loss", "iou"), ("loss", "mean IoU"), strict=True):
        values = np.array([row[column] for row in rows])
        axis.plot(steps, values, color="0.8", linewidth=0.6, label="each step")
        smooth = [np.nanmedian(values[max(0, i - 49) : i + 1]) for i in range(len(values))]
        axis.plot(steps, smooth, color=LINE, linewidth=1.8, label="median of fifty")
        axis.set_xlabel("training step")
        axis.set_ylabel(label)
        axis.legend(frameon=False)
    figure.suptitle(as_drawn(title), fontsize=11)
    return figure
