"""Pictures of a tracked video: the masks found, and where the object's queries look."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..pictures.colours import HEAT, LINE, MARK, TRUTH
from ..pictures.figures import Figure
from .loop import Step
from .tracker import Tracker

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def object_attention(tracker: Tracker, step: Step, mask: np.ndarray, layer: int) -> np.ndarray:
    """The mean softmax row [M] of the queries under the mask [S,S], first object, in one layer, over the heads.

    A query is under the mask where more than half of its cell is; where none is, the fullest one is taken.
    """
    if step.seen is None:
        raise ValueError(f"step is that of frame {step.frame}, which was prompted and looked at nothing")
    queries = object_cells(mask, tracker.config.backbone_stride)
    return tracker.attention.attention_map(*step.seen, layer=layer, queries=queries)[0].mean(axis=(0, 1))


def object_cells(mask: np.ndarray, stride: int) -> list[int]:
    """The tokens of which more than half is under the mask [S,S], at least the fullest one."""
    side = mask.shape[0] // stride
    cover = mask.reshape(side, stride, side, stride).mean(axis=(1, 3)).ravel()
    return np.flatnonzero(cover > min(0.5, cover.max() - 1e-9)).tolist()


def draw_tracking(
    tracker: Tracker,
    frames: np.ndarray,
    found: np.ndarray,
    steps: Sequence[Step],
    ious: Sequence[float] | None = None,
    truth: np.ndarray | None = None,
    layer: int = -1,
    title: str = "",
) -> Figure:
    """Draw frames with their masks above, and below where the last shown frame's object looks in each memory.

    `frames` [T,S,S,3], `found` and `truth` [T,S,S] for the first object, `ious` by frame.
    """
    layer %= tracker.config.memory_attention.num_layers
    shown = np.unique(np.linspace(0, len(frames) - 1, 6).round().astype(int))
    in_sight = [number for number in range(1, len(frames)) if found[number].any()]
    looked = in_sight[-1] if in_sight else len(frames) - 1
    step = steps[looked]
    columns = max(len(shown), len(step.memory_frames) + 1)
    figure = Figure(figsize=(2.05 * columns + 0.8, 5.4), layout="constrained", dpi=120)
    axes = figure.subplots(2, columns, squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    for axis, number in zip(axes[0], shown, strict=False):
        axis.imshow(frames[number])
        _outline(axis, found[number], MARK, "-")
        if truth is not None and number:
            _outline(axis, truth[number], TRUTH, ":")
        said = "prompt" if number == 0 else ("hidden" if truth is not None and not truth[number].any() else "")
        if not said and ious is not None:
            said = f"IoU {ious[number]:.2f}"
        axis.set_title(f"frame {number}" + (f": {said}" if said else ""), fontsize=10)

    axes[1, 0].imshow(frames[looked])
    _outline(axes[1, 0], found[looked], MARK, "-")
    axes[1, 0].set_title(f"frame {looked} looks at", fontsize=10)
    row = object_attention(tracker, step, found[looked], layer)
    height, width = tracker.config.grid
    spatial = row[: len(step.memory_frames) * height * width].reshape(-1, height, width)
    relative = spatial * len(row)
    top = max(float(relative.max()), 1.0)
    for axis, number, heat, share in zip(
        axes[1, 1:], step.memory_frames, relative, spatial.sum(axis=(1, 2)), strict=False
    ):
        axis.imshow(frames[number].mean(axis=-1), cmap="gray", vmin=0, vmax=1)
        size = frames.shape[1] - 0.5
        image = axis.imshow(heat, cmap=HEAT, vmin=0, vmax=top, alpha=0.7, extent=(-0.5, size, size, -0.5))
        _outline(axis, found[number], MARK, "-")
        axis.set_title(f"frame {number}: {share:.0%}", fontsize=10)
    figure.colorbar(image, ax=list(axes[1]), label="attention, multiples of uniform", shrink=0.9)
    pointers = 1 - spatial.sum()
    note = "outline: mask found" + ("; dotted: truth" if truth is not None else "")
    figure.suptitle(f"{title}\n{note}; layer {layer}; object pointers take {pointers:.0%}", fontsize=11)
    return figure


def _outline(axis: "Axes", mask: np.ndarray, colour: str, style: str) -> None:
    if mask.any() and not mask.all():
        axis.contour(mask, levels=[0.5], colors=[colour], linewidths=1.8, linestyles=style)


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
    figure.suptitle(title, fontsize=11)
    return figure
