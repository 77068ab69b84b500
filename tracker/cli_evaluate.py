"""The command line's evaluate."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.table import Table

from ..backends import find_backend
from ..console import console
from ..files import check_writable, write_json
from ..options import BackendOption, DeviceOption
from .options import WeightsOption

if TYPE_CHECKING:
    from .evaluation import Report

CLIPS, LENGTH = 200, 16


def evaluate(
    frames: Annotated[
        Path | None, typer.Option(help="Your own annotated clip: an .npz with frames and masks [default: ours]")
    ] = None,
    photographs: Annotated[
        Path | None, typer.Option(help="A folder of photographs, to make clips of [default: those held out]")
    ] = None,
    clips: Annotated[int | None, typer.Option(min=1, help=f"How many held-out clips [default: {CLIPS}]")] = None,
    length: Annotated[
        int | None, typer.Option(min=2, help=f"Frames of each held-out clip [default: {LENGTH}]")
    ] = None,
    backend: BackendOption = None,
    against: Annotated[str | None, typer.Option(help="Another backend, whose masks are compared.")] = None,
    weights: WeightsOption = None,
    output: Annotated[Path | None, typer.Option(help="Also write the figures to this JSON file.")] = None,
    device: DeviceOption = None,
) -> None:
    """Measure the tracker on held-out clips, with its baselines; with --against, in two backends."""
    from .annotated import read_annotated
    from .evaluation import evaluate as measure
    from .evaluation import evaluate_clip
    from .learning.photographs import HELD_OUT, photographs_of
    from .weights import WEIGHTS, read_tracker

    if output is not None:
        check_writable(output)
    for option, value in {"clips": clips, "length": length, "photographs": photographs}.items():
        if frames is not None and value is not None:
            raise ValueError(f"{option} and frames were given, expected one or the other")
    clips, length = clips or CLIPS, length or LENGTH
    if against is not None and find_backend(against)[0] == find_backend(backend)[0]:
        raise ValueError(f"against is {against!r}, expected another backend than the one that is measured")
    config, parameters, made_by = read_tracker(weights or WEIGHTS)
    clip = None if frames is None else read_annotated(frames, config.image_size)
    textures = HELD_OUT if photographs is None else photographs_of(photographs)
    names: list[str | None] = [backend, *([against] if against else [])]
    reports, masks = [], []
    for name in names:
        found: list[np.ndarray] = []
        if clip is not None:
            report = evaluate_clip(config, parameters, clip, name, found.append, device)
        else:
            report = measure(
                config,
                parameters,
                name,
                clips,
                length,
                show_progress=True,
                collect=found.append,
                device=device,
                photographs=textures,
            )
        reports.append(report)
        masks.append(np.concatenate(found, axis=1))
    agreement = float((masks[0] == masks[1]).mean()) if against else None
    labels = [find_backend(name)[0] for name in names]

    own = clip and f"{frames}, {clip.masks.shape[1]} object(s)"
    title = own or f"{clips} {'held-out clips' if photographs is None else f'clips of {photographs}'}"
    console.print(_report_table(reports, labels, f"{title}, {reports[0].frames} frames"))
    if agreement is not None:
        console.print(f"pixels on which both backends agree: {agreement:.6%}")
    if output is not None:
        figures = {label: asdict(report) for label, report in zip(labels, reports, strict=True)}
        write_json(output, {"made_by": made_by, "agreement": agreement, "figures": figures})
        console.print(f"figures → {output}")


def _report_table(reports: Sequence["Report"], labels: Sequence[str], title: str) -> Table:
    table = Table(title=title)
    table.add_column("")
    for label in labels:
        table.add_column(label, justify="right")
    rows = {
        "mean IoU (J)": "iou",
        "… with an emptied memory": "iou_without_memory",
        "… without object pointers": "iou_without_pointers",
        "… of copying the first mask": "iou_of_first_mask",
        "hidden frames found empty": "hidden_found_empty",
        "hidden frames": "hidden_frames",
    }
    for label, field in rows.items():
        table.add_row(label, *(_shown(getattr(report, field)) for report in reports))
    costs = (_with_error(report.pointers_cost, report.pointers_cost_error) for report in reports)
    table.add_row("IoU that pointers add, standard error", *costs)
    for layer in range(len(reports[0].attention_share)):
        shares = (report.attention_share[layer] for report in reports)
        shown = ("no cell" if np.isnan(share) else f"{share:.1f} ×" for share in shares)
        table.add_row(f"attention on the object over its area, layer {layer}", *shown)
        shares = (report.pointer_share[layer] for report in reports)
        shown = ("no cell" if np.isnan(share) else f"{share:.2%}" for share in shares)
        table.add_row(f"attention on object pointers, layer {layer}", *shown)
    return table


def _with_error(value: float, error: float) -> str:
    return f"{value:.4f}" if np.isnan(error) else f"{value:.4f} ± {error:.4f}"


def _shown(value: float) -> str:
    if np.isnan(value):
        return "none to find"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
