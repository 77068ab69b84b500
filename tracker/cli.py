"""The tracker's commands: demo, track, explore, and those of `cli_evaluate.py` and `cli_train.py`."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table

from ..console import console, progress_bar
from ..files import check_folder, check_kept, check_writable
from ..options import BackendOption, DeviceOption
from ..rules.packages import require
from .cli_evaluate import evaluate
from .cli_train import train
from .options import (
    SHOWN_CLIP,
    ClipOption,
    EveryOption,
    FolderOption,
    FramesOption,
    MaskOption,
    MaxFramesOption,
    MaxPixelsOption,
    ObjectOption,
    WeightsOption,
)
from .tracked import TrackedVideo

if TYPE_CHECKING:
    from .tracker import Tracker


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command(epilog="Example: memory-attention demo --backend accelerated")(demo)
    app.command(epilog="Example: memory-attention track --frames my-video/ --mask first-frame.png")(track)
    app.command(epilog="Example: memory-attention explore --clip 3 --output explorer.html")(explore)
    app.command(epilog="Example: memory-attention real-clips --output real-clips")(real_clips)
    app.command(epilog="Example: memory-attention unseen-photographs --output photographs")(unseen_photographs)
    app.command(epilog="Example: memory-attention evaluate --backend accelerated --clips 200")(evaluate)
    app.command(epilog="Example: memory-attention train --output training --seed 0")(train)


def _tracker(backend: str | None, weights: Path | None, device: str | None) -> "Tracker":
    from .tracker import Tracker
    from .weights import WEIGHTS, read_tracker

    config, parameters, _ = read_tracker(weights or WEIGHTS)
    return Tracker(config, parameters, backend, device=device)


def _video(
    tracker: "Tracker",
    frames: Path | None,
    mask: Path | None,
    clip: int | None,
    objects: list[int] | None,
    **limits: int | None,
) -> tuple[TrackedVideo, str]:
    """A video to be tracked, and its name."""
    own = {"mask": mask} | limits
    if frames is None:
        for name, value in own.items():
            if value is not None:
                raise ValueError(f"{name} was given without frames, expected both or neither")
        return _held_out(tracker, SHOWN_CLIP if clip is None else clip, objects or [1])
    if clip is not None:
        raise ValueError("clip and frames were given, expected one or the other")
    from .reading import read_video

    given = {name: value for name, value in limits.items() if value is not None}
    video = read_video(frames, mask, tracker.config.image_size, objects, **given)
    return TrackedVideo(tracker, video.frames, video.masks, video.given, video.source), frames.name


def _held_out(tracker: "Tracker", clip: int, objects: list[int]) -> tuple[TrackedVideo, str]:
    """A clip of the evaluation: object 1 is its target, those after it are what moves beside it."""
    require("skimage", "a held-out clip")
    from .evaluation import held_out_clip
    from .media.frames import array_frames
    from .reading import objects_of_array

    made, name = held_out_clip(clip), f"held-out clip {clip}"
    given = objects_of_array(made.masks[0], objects)
    truth = made.masks[:, [label - 1 for label in given.labels]]
    return TrackedVideo(tracker, made.frames, given.masks, given, array_frames(name, made.frames), truth), name


def _follow(tracked: TrackedVideo, kept: list[int]) -> None:
    """Track under a progress bar."""
    with progress_bar() as progress:
        description = f"tracking, {tracked.tracker.attention.backend} backend"
        task = progress.add_task(description, total=len(tracked.frames))
        tracked.follow(kept, lambda: progress.advance(task))


def _explorer(tracked: TrackedVideo, name: str, chosen: list[int]) -> Any:
    from ..pictures.explorer import MOST_OBJECTS
    from ..pictures.explorer import explore as make_page
    from .recorded import record_steps

    title = f"Where the tracker looks: {name}, {tracked.tracker.attention.backend} backend"
    names = tracked.names()
    recording = record_steps(tracked.tracker.attention, tracked.looks, chosen, names[:MOST_OBJECTS])
    wanted = recording.pictured
    # One at a time: a video in its own size does not fit the memory.
    for number, (_, image) in enumerate(tracked.source):
        if number in wanted:
            recording.add_images({number: image}, {number: tracked.logits_in_full(number) > 0})
    return make_page(recording, title, names=names)


def demo(
    output: FolderOption = Path("demo-output"), backend: BackendOption = None, device: DeviceOption = None
) -> None:
    """Track an object through a held-out clip: what `make demo` runs."""
    track(output, backend=backend, device=device)


def track(
    output: FolderOption = Path("track-output"),
    frames: FramesOption = None,
    mask: MaskOption = None,
    objects: ObjectOption = None,
    clip: ClipOption = None,
    every: EveryOption = None,
    backend: BackendOption = None,
    weights: WeightsOption = None,
    page: Annotated[bool, typer.Option(help="Also write the attention explorer.")] = True,
    picture: Annotated[bool, typer.Option(help="Also draw frames, masks and where the object looks.")] = True,
    device: DeviceOption = None,
    max_pixels: MaxPixelsOption = None,
    max_frames: MaxFramesOption = None,
) -> None:
    """Track objects through a video: masks, an overlay, a picture, and the page to explore their attention."""
    from .writing import check_labels, check_own_masks, overlay_name

    if page or picture:
        require("matplotlib", "a picture or a page (--no-picture and --no-page leave them out)")
    check_folder(output)
    if frames is not None and frames.exists() and output.exists() and output.samefile(frames):
        raise ValueError(
            f"output is {output}, the folder of the frames, expected another: pictures would join them"
        )
    if _draws_masks():
        check_own_masks(output / "masks")
    for file in ("masks.npz", overlay_name(), "track.png", "explorer.html"):
        check_kept(output / file, frames, mask, weights)
    limits = {"every": every, "max_pixels": max_pixels, "max_frames": max_frames}
    tracked, name = _video(_tracker(backend, weights, device), frames, mask, clip, objects, **limits)
    check_labels(tracked.labels)
    _follow(tracked, tracked.shown())
    if tracked.truth is not None:
        _print_ious(tracked, name)
    output.mkdir(parents=True, exist_ok=True)
    written = _write_masks(tracked, output)
    if picture:
        _draw(tracked, name, output / "track.png")
        written.append("track.png")
    if page:
        _explorer(tracked, name, tracked.shown()).save(output / "explorer.html")
        written.append("explorer.html")
    height, width = tracked.size
    console.print(f"{', '.join(written)} → {output}/; the masks have the frames' {height} × {width} pixels")
    if "overlay.gif" in written:
        console.print("the overlay is a small GIF; an mp4 needs: pip install '.[video]'")


def _draw(tracked: TrackedVideo, name: str, path: Path) -> None:
    from ..pictures.figures import save
    from .plots import draw_tracking

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
    save(figure, path)


def _write_masks(tracked: TrackedVideo, output: Path) -> list[str]:
    """Write the masks under a progress bar; without Pillow, only the array of them."""
    from .writing import write_masks

    with progress_bar() as progress:
        task = progress.add_task("writing the masks", total=len(tracked.frames))
        return write_masks(tracked, output, _draws_masks(), lambda: progress.advance(task))


def _draws_masks() -> bool:
    """Whether the masks are written as images too, which needs Pillow."""
    return find_spec("PIL") is not None


def _print_ious(tracked: TrackedVideo, name: str) -> None:
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


def real_clips(output: FolderOption = Path("real-clips")) -> None:
    """Fetch three real clips, with the mask of an object in the first frame of each, for `track`."""
    from .media.real_clips import PACKAGE, write_real_clips

    check_folder(output)
    for folder in write_real_clips(output):
        console.print(
            f"memory-attention track --frames {folder / 'frames'} --mask {folder / 'mask.png'}", soft_wrap=True
        )
    console.print(f"from {PACKAGE}, whose licences its source names")


def unseen_photographs(output: FolderOption = Path("photographs")) -> None:
    """Fetch six photographs that the tracker's makers did not look at, for `evaluate --photographs`."""
    from .media.unseen_photographs import UNSEEN, write_unseen_photographs

    check_folder(output)
    for path in write_unseen_photographs(output):
        console.print(path)
    console.print(
        f"from {', '.join(UNSEEN)}; now: memory-attention evaluate --photographs {output}", soft_wrap=True
    )


def explore(
    recording: Annotated[
        Path | None, typer.Argument(help="A recording's file, of any model [default: the tracker's own video]")
    ] = None,
    output: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("explorer.html"),
    frames: FramesOption = None,
    mask: MaskOption = None,
    objects: ObjectOption = None,
    clip: ClipOption = None,
    every: EveryOption = None,
    show: Annotated[str | None, typer.Option(help="Frames to show, as in 3,7,15 [default: six of them]")] = None,
    backend: BackendOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = None,
    max_pixels: MaxPixelsOption = None,
    max_frames: MaxFramesOption = None,
) -> None:
    """Write the attention explorer: one page, usable without a network, by mouse and by keyboard."""
    check_writable(output)
    check_kept(output, frames, mask, weights, recording)
    require("matplotlib", "the explorer")
    asked = None if show is None else _numbers(show)
    limits = {"every": every, "max_pixels": max_pixels, "max_frames": max_frames}
    if recording is not None:
        own = {"frames": frames, "mask": mask, "object": objects, "clip": clip, "backend": backend}
        for option, value in (own | limits | {"weights": weights, "device": device}).items():
            if value is not None:
                raise ValueError(f"{option} and a recording were given, expected one or the other")
        _page_of(recording, asked).save(output)
        console.print(f"open {output} in a browser")
        return
    tracked, name = _video(_tracker(backend, weights, device), frames, mask, clip, objects, **limits)
    chosen = asked or tracked.shown()
    for number in chosen:
        if not 1 <= number < len(tracked.frames):
            raise ValueError(
                f"show has frame {number}, expected 1 to {len(tracked.frames) - 1}: frame 0 is prompted"
            )
    _follow(tracked, chosen)
    _explorer(tracked, name, chosen).save(output)
    console.print(f"open {output} in a browser")


def _page_of(path: Path, frames: list[int] | None) -> Any:
    from ..pictures.explorer import explore as make_page
    from ..recording import load_recording

    recording = load_recording(path)
    return make_page(recording, f"Where {recording.made_by.get('model', 'the model')} looks: {path.name}", frames)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"show is {text!r}, expected frame numbers such as 3,7,15") from None
