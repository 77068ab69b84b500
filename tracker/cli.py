"""The command line's tracker: track, explore, evaluate, train."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table

from ..console import console, progress_bar
from ..files import check_writable, whole_file
from ..options import BackendOption, DeviceOption
from ..rules.packages import require
from .cli_evaluate import evaluate
from .options import WeightsOption

if TYPE_CHECKING:
    from .loop import Step
    from .tracker import Tracker

FramesOption = Annotated[Path | None, typer.Option(help="Your own: a folder of images, or an .npz file.")]
MaskOption = Annotated[Path | None, typer.Option(help="The object in the first frame: white on black.")]
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


class Tracked:
    """A tracked video: its frames, the masks found for the first object, the true ones if known, the steps.

    `size` is the height and width of the user's frames, before they were resized for the tracker.
    """

    def __init__(
        self,
        tracker: "Tracker",
        frames: np.ndarray,
        given: np.ndarray,
        truth: np.ndarray | None,
        size: tuple[int, int],
    ) -> None:
        self.tracker, self.frames, self.truth, self.size = tracker, frames, truth, size
        self.steps: list[Step] = []
        self.masks = [given]
        self.found = [given[0].astype(bool)]
        self.ious: list[float] = [1.0]

    def follow(self) -> None:
        """Track under a progress bar."""
        with progress_bar() as progress:
            task = progress.add_task(f"tracking, {self.tracker.attention.backend} backend", total=len(self.frames))
            for step in self.tracker.follow(self.frames, self.masks[0]):
                self.steps.append(step)
                if step.logits is not None:
                    self.masks.append(step.logits > 0)
                    self.found.append(self.masks[-1][0])
                    self.ious.append(self._iou(step.frame))
                progress.advance(task)

    def _iou(self, frame: int) -> float:
        from .evaluation import iou

        return float("nan") if self.truth is None else float(iou(self.found[frame], self.truth[frame]))

    def all_masks(self) -> np.ndarray:
        """Masks [T,K,S,S] of all objects."""
        return np.stack(self.masks)


def _tracker(backend: str | None, weights: Path | None, device: str | None) -> "Tracker":
    from .tracker import Tracker
    from .weights import WEIGHTS, read_tracker

    config, parameters, _ = read_tracker(weights or WEIGHTS)
    return Tracker(config, parameters, backend, device=device)


def _video(tracker: "Tracker", frames: Path | None, mask: Path | None, clip: int) -> tuple[Tracked, str]:
    """A video to be tracked, and its name."""
    if frames is None:
        if mask is not None:
            raise ValueError("mask was given without frames, expected both or neither")
        require("skimage", "a held-out clip")
        from .evaluation import held_out_clip

        made = held_out_clip(clip)
        tracked = Tracked(tracker, made.frames, made.masks[0, :1], made.masks[:, 0], made.frames.shape[1:3])
        return tracked, f"held-out clip {clip}"
    from .reading import read_video

    images, given, size = read_video(frames, mask, tracker.config.image_size)
    return Tracked(tracker, images, given, None, size), frames.name


def _track(
    backend: str | None,
    weights: Path | None,
    frames: Path | None,
    mask: Path | None,
    clip: int,
    device: str | None,
) -> tuple[Tracked, str]:
    tracker = _tracker(backend, weights, device)
    tracked, name = _video(tracker, frames, mask, clip)
    tracked.follow()
    return tracked, name


def _explorer(tracked: Tracked, name: str, chosen: list[int] | None = None) -> Any:
    from ..pictures.explorer import explore as make_page

    if chosen is None:
        chosen = np.unique(np.linspace(1, len(tracked.frames) - 1, 6).round().astype(int)).tolist()
    title = f"Where the tracker looks: {name}, {tracked.tracker.attention.backend} backend"
    return make_page(
        tracked.tracker.attention, tracked.frames, np.stack(tracked.found), tracked.steps, chosen, title
    )


def demo(
    output: FolderOption = Path("demo-output"), backend: BackendOption = None, device: DeviceOption = None
) -> None:
    """Track an object through a held-out clip: what `make demo` runs."""
    track(output, backend=backend, device=device)


def track(
    output: FolderOption = Path("track-output"),
    frames: FramesOption = None,
    mask: MaskOption = None,
    clip: ClipOption = SHOWN_CLIP,
    backend: BackendOption = None,
    weights: WeightsOption = None,
    page: Annotated[bool, typer.Option(help="Also write the attention explorer.")] = True,
    picture: Annotated[bool, typer.Option(help="Also draw frames, masks and where the object looks.")] = True,
    device: DeviceOption = None,
) -> None:
    """Track an object through a video: masks, a picture, and the page to explore its attention."""
    if page or picture:
        require("matplotlib", "a picture or a page (--no-picture and --no-page leave them out)")
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"output: {output} is a file, expected a folder")
    tracked, name = _track(backend, weights, frames, mask, clip, device)
    size = tracked.size
    if tracked.truth is not None:
        _print_ious(tracked, name)
    output.mkdir(parents=True, exist_ok=True)
    written = ["masks.npz"]
    with whole_file(output / "masks.npz") as temporary:
        np.savez_compressed(temporary, masks=_of_size(tracked.all_masks(), size))
    if picture:
        _draw(tracked, name, output / "track.png")
        written.append("track.png")
    if page:
        _explorer(tracked, name).save(output / "explorer.html")
        written.append("explorer.html")
    console.print(f"{', '.join(written)} → {output}/; the masks have the frames' {size[0]} × {size[1]} pixels")


def _draw(tracked: Tracked, name: str, path: Path) -> None:
    from ..pictures.figures import save
    from .plots import draw_tracking

    known = None if tracked.truth is None else tracked.ious
    title = f"{name}, {tracked.tracker.attention.backend} backend"
    found = np.stack(tracked.found)
    figure = draw_tracking(
        tracked.tracker, tracked.frames, found, tracked.steps, known, tracked.truth, title=title
    )
    save(figure, path)


def _of_size(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Masks [T,K,S,S] as [T,K,H,W], by the nearest pixel."""
    rows, columns = (np.arange(length) * masks.shape[-1] // length for length in size)
    return masks[:, :, rows[:, None], columns[None, :]]


def _print_ious(tracked: Tracked, name: str) -> None:
    table = Table(title=f"{name}: IoU of each frame", show_header=False)
    numbers = range(1, len(tracked.frames))
    table.add_row("frame", *map(str, numbers))
    table.add_row("IoU", *("hidden" if np.isnan(tracked.ious[n]) else f"{tracked.ious[n]:.2f}" for n in numbers))
    console.print(table)
    console.print(f"mean IoU {np.nanmean(tracked.ious[1:]):.3f} over the frames in which the object is in sight")


def explore(
    output: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("explorer.html"),
    frames: FramesOption = None,
    mask: MaskOption = None,
    clip: ClipOption = SHOWN_CLIP,
    show: Annotated[str | None, typer.Option(help="Frames to show, as in 3,7,15 [default: six of them]")] = None,
    backend: BackendOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = None,
) -> None:
    """Write the attention explorer: one page, usable without a network, by mouse and by keyboard."""
    check_writable(output)
    require("matplotlib", "the explorer")
    chosen = None if show is None else _numbers(show)
    tracked, name = _track(backend, weights, frames, mask, clip, device)
    _explorer(tracked, name, chosen).save(output)
    console.print(f"open {output} in a browser")


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"show is {text!r}, expected frame numbers such as 3,7,15") from None


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
