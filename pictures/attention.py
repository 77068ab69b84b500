"""A picture of where one query looks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .colours import HEAT, MARK
from .figures import Figure, as_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_attention(
    rows: np.ndarray,
    grid: tuple[int, int],
    query: int,
    frame: np.ndarray | None = None,
    memory_frames: Sequence[np.ndarray] | None = None,
    num_obj_ptr_tokens: int = 0,
    title: str = "",
    names: Sequence[str] = (),
) -> Figure:
    """Draw where one query looks: the frame with the query marked, then its attention on each memory frame.

    `rows` [M] is the query's softmax row; its last `num_obj_ptr_tokens` belong to the pointers, whose
    share is given in words. Attention is given relative to a uniform one, on one scale for all frames.
    `frame` and `memory_frames` are images [H,W,3] to draw behind, where there are any, in whose shape the grid
    is drawn; `names` those of the memories.
    """
    height, width = grid
    if len(rows) - num_obj_ptr_tokens < height * width:
        raise ValueError(
            f"rows has {len(rows)} tokens with no memory frame among them, expected at least one frame"
        )
    spatial = rows[: len(rows) - num_obj_ptr_tokens].reshape(-1, height, width)
    relative = spatial * len(rows)
    pointer_share = rows[len(rows) - num_obj_ptr_tokens :].sum()

    columns = min(len(spatial) + 1, 4)
    lines = -(-(len(spatial) + 1) // columns)
    shape = height / width if frame is None else frame.shape[0] / frame.shape[1]
    figure = Figure(
        figsize=(3.0 * columns + 0.8, (2.65 * shape + 0.3) * lines + 0.7), layout="constrained", dpi=110
    )
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for empty in axes[len(spatial) + 1 :]:
        empty.axis("off")
    _draw_query(axes[0], frame, grid, query)
    top = max(float(np.quantile(relative, 0.999)), 1.0)
    images = [
        _draw_heat(axis, heat, memory_frames[index] if memory_frames is not None else None, top)
        for index, (axis, heat) in enumerate(zip(axes[1:], relative, strict=False))
    ]
    for index, axis in enumerate(axes[1 : len(spatial) + 1]):
        name = names[index] if names else f"memory {index + 1} of {len(spatial)}"
        axis.set_title(f"{name}: {spatial[index].sum():.1%}", fontsize=10)
    for axis in axes:
        axis.set_aspect(shape * width / height)
    figure.colorbar(images[0], ax=list(axes), label="attention, multiples of uniform", shrink=0.75, extend="max")
    pointers = f"; object pointers take {pointer_share:.1%}" if num_obj_ptr_tokens else ""
    figure.suptitle(f"{as_drawn(title)}{pointers}", fontsize=11)
    return figure


def _draw_query(axis: "Axes", frame: np.ndarray | None, grid: tuple[int, int], query: int) -> None:
    height, width = grid
    if frame is None:
        frame = np.full((height, width, 3), 0.85)
    row, column = divmod(query, width)
    axis.imshow(frame, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="nearest")
    axis.plot(column, row, "s", markersize=9, markerfacecolor="none", markeredgecolor="white", markeredgewidth=4)
    axis.plot(column, row, "s", markersize=9, markerfacecolor="none", markeredgecolor=MARK, markeredgewidth=2)
    axis.set_title(f"now; query at row {row}, column {column}", fontsize=10)
    axis.set_xticks([])
    axis.set_yticks([])


def _draw_heat(axis: "Axes", heat: np.ndarray, behind: np.ndarray | None, top: float) -> Any:
    height, width = heat.shape
    axis.set_xticks([])
    axis.set_yticks([])
    if behind is not None:
        grey = behind.mean(axis=-1)
        axis.imshow(grey, cmap="gray", extent=(-0.5, width - 0.5, height - 0.5, -0.5), vmin=0, vmax=1)
    return axis.imshow(heat, cmap=HEAT, vmin=0, vmax=top, alpha=0.72 if behind is not None else 1.0)
