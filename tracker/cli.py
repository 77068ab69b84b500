"""The command line's tracker: track, explore, evaluate, train."""

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table

from ..backends import find_backend
from ..console import console, progress_bar
from ..files import check_writable, write_json
from ..options import BackendOption
from ..rules.packages import require
from .images import MAX_PIXELS
from .reading import MAX_FRAMES
from .tracked import Tracked

if TYPE_CHECKING:
    from .tracker import Tracker

WeightsOption = Annotated[Path | None, typer.Option(help="A trained tracker [default: the bundled one]")]
FramesOption = Annotated[
    Path | None, typer.Option(help="Your own: a folder of images, a video (mp4, mov, gif, tif), or an .npz file.")
]
MaskOption = Annotated[
    Path | None,
    typer.Option(help="The objects in the first frame: white on black, or one value or colour for each."),
]
ObjectOption = Annotated[
    list[int] | None,
    typer.Option("--object", help="Label of an object to track; again for each [default: all of the mask]"),
]
EveryOption = Annotated[int, typer.Option(min=1, help="Take every so many-th frame.")]
MaxPixelsOption = Annotated[int, typer.Option(min=1, help="The most pixels of a frame or a mask.")]
MaxFramesOption = Annotated[int, typer.Option(min=2, help="The most frames of a video.")]
ClipOption = Annotated[int, typer.Option(min=0, help="Which held-out clip, where there are no frames.")]
FolderOption = Annotated[Path, typer.Option(help="The folder to write to.")]

# A held-out clip in which the object is hidden for some frames and comes back.
SHOWN_CLIP = 24


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command(epilog="Example: memory-attention demo --backend accelerated")(demo)
    app.command(epilog="Example: memory-attention track --frames my-video/ --mask first-frame.png")(track)
    app.command(epilog="Example: memory-attention explore --clip 3 --output explorer.html")(explore)
    app.command(epilog="Example: memory-attention evaluate --backend accelerated --clips 200")(evaluate)
    app.command(epilog="Example: memory-attention train --output training --seed 0")(train)


def _tracker(backend: str | None, weights: Path | None) -> "Tracker":
    from .tracker import Tracker
    from .weights import WEIGHTS, read_tracker

    config, parameters, _ = read_tracker(weights or WEIGHTS)
    return Tracker(config, parameters, backend)


def _video(
    tracker: "Tracker",
    frames: Path | None,
    mask: Path | None,
    clip: int,
    objects: list[int] | None,
    **limits: int,
) -> tuple[Tracked, str]:
    """A video to be tracked, and its name."""
    if frames is None:
        if mask is not None:
            raise ValueError("mask was given without frames, expected both or neither")
        return _held_out(tracker, clip, objects or [1])
    from .reading import read_video

    video = read_video(frames, mask, tracker.config.image_size, objects, **limits)
    return Tracked(tracker, video.frames, video.masks, video.given, video.source), frames.name


def _held_out(tracker: "Tracker", clip: int, objects: list[int]) -> tuple[Tracked, str]:
    """A clip of the evaluation: object 1 is its target, those after it are what moves beside it."""
    require("skimage", "a held-out clip")
    from .evaluation import held_out_clip
    from .frames import array_frames
    from .reading import objects_of_array

    made, name = held_out_clip(clip), f"held-out clip {clip}"
    given = objects_of_array(made.masks[0], objects)
    truth = made.masks[:, [label - 1 for label in given.labels]]
    return Tracked(tracker, made.frames, given.masks, given, array_frames(name, made.frames), truth), name


def _follow(tracked: Tracked, kept: list[int]) -> None:
    """Track under a progress bar."""
    with progress_bar() as progress:
        description = f"tracking, {tracked.tracker.attention.backend} backend"
        task = progress.add_task(description, total=len(tracked.frames))
        tracked.follow(kept, lambda: progress.advance(task))


def _explorer(tracked: Tracked, name: str, chosen: list[int]) -> Any:
    from ..pictures.explorer import explore as make_page

    title = f"Where the tracker looks: {name}, {tracked.tracker.attention.backend} backend"
    height, width = tracked.size
    found, names = tracked.all_found(), tracked.names()
    return make_page(
        tracked.tracker.attention, tracked.frames, found, tracked.looks, chosen, title, names, width / height
    )


def demo(output: FolderOption = Path("demo-output"), backend: BackendOption = None) -> None:
    """Track an object through a held-out clip: what `make demo` runs."""
    track(output, backend=backend)


def track(
    output: FolderOption = Path("track-output"),
    frames: FramesOption = None,
    mask: MaskOption = None,
    objects: ObjectOption = None,
    clip: ClipOption = SHOWN_CLIP,
    every: EveryOption = 1,
    backend: BackendOption = None,
    weights: WeightsOption = None,
    page: Annotated[bool, typer.Option(help="Also write the attention explorer.")] = True,
    max_pixels: MaxPixelsOption = MAX_PIXELS,
    max_frames: MaxFramesOption = MAX_FRAMES,
) -> None:
    """Track objects through a video: masks, an overlay, a picture, and the page to explore their attention."""
    from ..pictures.figures import save
    from .plots import draw_tracking
    from .writing import check_folder

    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"output: {output} is a file, expected a folder")
    check_folder(output / "masks")
    limits = {"every": every, "max_pixels": max_pixels, "max_frames": max_frames}
    tracked, name = _video(_tracker(backend, weights), frames, mask, clip, objects, **limits)
    _follow(tracked, tracked.shown())
    if tracked.truth is not None:
        _print_ious(tracked, name)
    output.mkdir(parents=True, exist_ok=True)
    figure = draw_tracking(
        tracked.tracker,
        tracked.frames,
        tracked.all_found(),
        {step.frame: step for step in [tracked.last_in_sight] if step is not None},
        None if tracked.truth is None else [ious[0] for ious in tracked.ious],
        tracked.truth,
        title=f"{name}, {tracked.tracker.attention.backend} backend",
        names=tracked.names(),
        size=tracked.size,
    )
    save(figure, output / "track.png")
    written = ["track.png", *_write_masks(tracked, output)]
    if page:
        _explorer(tracked, name, tracked.shown()).save(output / "explorer.html")
        written.append("explorer.html")
    height, width = tracked.size
    console.print(f"{', '.join(written)} → {output}/; the masks have the frames' {height} × {width} pixels")
    if "overlay.gif" in written:
        console.print("the overlay is a small GIF; an mp4 needs: pip install '.[video]'")


def _write_masks(tracked: Tracked, output: Path) -> list[str]:
    """Write the masks under a progress bar; without Pillow, only the array of them."""
    from .writing import write_masks

    with progress_bar() as progress:
        task = progress.add_task("writing the masks", total=len(tracked.frames))
        return write_masks(tracked, output, find_spec("PIL") is not None, lambda: progress.advance(task))


def _print_ious(tracked: Tracked, name: str) -> None:
    table = Table(title=f"{name}: IoU of each frame", show_header=False)
    numbers = range(1, len(tracked.frames))
    table.add_row("frame", *map(str, numbers))
    for index, called in enumerate(tracked.names()):
        ious = [tracked.ious[number][index] for number in numbers]
        table.add_row(called, *("hidden" if np.isnan(iou) else f"{iou:.2f}" for iou in ious))
    console.print(table)
    known = np.array(tracked.ious[1:])
    if not np.isnan(known).all():
        console.print(f"mean IoU {np.nanmean(known):.3f} over the frames in which the object is in sight")


def explore(
    output: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("explorer.html"),
    frames: FramesOption = None,
    mask: MaskOption = None,
    objects: ObjectOption = None,
    clip: ClipOption = SHOWN_CLIP,
    every: EveryOption = 1,
    show: Annotated[str | None, typer.Option(help="Frames to show, as in 3,7,15 [default: six of them]")] = None,
    backend: BackendOption = None,
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = MAX_PIXELS,
    max_frames: MaxFramesOption = MAX_FRAMES,
) -> None:
    """Write the attention explorer: one page, usable without a network, by mouse and by keyboard."""
    check_writable(output)
    require("matplotlib", "the explorer")
    asked = None if show is None else _numbers(show)
    limits = {"every": every, "max_pixels": max_pixels, "max_frames": max_frames}
    tracked, name = _video(_tracker(backend, weights), frames, mask, clip, objects, **limits)
    chosen = asked or tracked.shown()
    for number in chosen:
        if not 1 <= number < len(tracked.frames):
            raise ValueError(
                f"show has frame {number}, expected 1 to {len(tracked.frames) - 1}: frame 0 is prompted"
            )
    _follow(tracked, chosen)
    _explorer(tracked, name, chosen).save(output)
    console.print(f"open {output} in a browser")


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"show is {text!r}, expected frame numbers such as 3,7,15") from None


def evaluate(
    clips: Annotated[int, typer.Option(min=1, help="How many held-out clips.")] = 200,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each clip.")] = 16,
    backend: BackendOption = None,
    against: Annotated[str | None, typer.Option(help="Another backend, whose masks are compared.")] = None,
    weights: WeightsOption = None,
    output: Annotated[Path | None, typer.Option(help="Also write the figures to this JSON file.")] = None,
) -> None:
    """Measure the tracker on held-out clips, with its baselines; with --against, in two backends."""
    from .evaluation import evaluate as measure
    from .weights import WEIGHTS, read_tracker

    if output is not None:
        check_writable(output)
    config, parameters, made_by = read_tracker(weights or WEIGHTS)
    names = [backend, *([against] if against else [])]
    reports, masks = [], []
    for name in names:
        found: list[np.ndarray] = []
        reports.append(measure(config, parameters, name, clips, frames, show_progress=True, collect=found.append))
        masks.append(np.concatenate(found, axis=1))
    agreement = float((masks[0] == masks[1]).mean()) if against else None
    labels = [find_backend(name)[0] for name in names]

    table = Table(title=f"{clips} held-out clips of {frames} frames")
    table.add_column("")
    for label in labels:
        table.add_column(label, justify="right")
    rows = {
        "mean IoU (J)": "iou",
        "… with an emptied memory": "iou_without_memory",
        "… of copying the first mask": "iou_of_first_mask",
        "hidden frames found empty": "hidden_found_empty",
        "hidden frames": "hidden_frames",
    }
    for label, field in rows.items():
        table.add_row(label, *(_shown(getattr(report, field)) for report in reports))
    for layer in range(len(reports[0].attention_share)):
        shares = (f"{report.attention_share[layer]:.1f} ×" for report in reports)
        table.add_row(f"attention on the object over its area, layer {layer}", *shares)
    console.print(table)
    if agreement is not None:
        console.print(f"pixels on which both backends agree: {agreement:.6%}")
    if output is not None:
        figures = {label: asdict(report) for label, report in zip(labels, reports, strict=True)}
        write_json(output, {"made_by": made_by, "agreement": agreement, "figures": figures})
        console.print(f"figures → {output}")


def _shown(value: float) -> str:
    if np.isnan(value):
        return "none to find"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def train(
    output: FolderOption = Path("training"),
    seed: Annotated[int, typer.Option(help="Seed of the weights and the clips.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps [default: the recipe's]")] = None,
    config: Annotated[str, typer.Option(help="The tracker's config.")] = "tracker",
) -> None:
    """Train a tracker; run it again on the same folder to go on where it stopped."""
    from dataclasses import replace

    from ..pictures.figures import save
    from .plots import draw_training_log

    try:
        from .training import Recipe, read_log
        from .training import train as run_training
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"training needs PyTorch: pip install 'memory-attention[accelerated]' ({error})"
        ) from None
    recipe = Recipe(config=config, seed=seed)
    recipe = recipe if steps is None else replace(recipe, steps=steps)
    command = f"memory-attention train --config {config} --seed {seed} --steps {recipe.steps}"
    weights = run_training(output, recipe, command)
    rows = read_log(output / "log.csv", recipe.steps)
    save(draw_training_log(rows, command), output / "log.png")
    console.print(f"weights → {weights}; the log as a plot → {output / 'log.png'}")
