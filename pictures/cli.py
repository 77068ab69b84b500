"""The pictures' commands: maps, compare-photograph."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..attention_map import compared_steps
from ..commands import compare_with_progress, print_comparison
from ..configs import load_config
from ..console import console, progress_bar
from ..files import check_kept, check_writable
from ..inputs import read_inputs
from ..model import load
from ..options import (
    DEFAULT_CONFIG,
    BackendOption,
    ConfigOption,
    DeviceOption,
    DtypeOption,
    GridOption,
    InputsOption,
    SeedOption,
    WeightsOption,
    grid_option,
    pair_of,
)
from ..rules.grids import grid_of
from ..rules.packages import require

OF_A_RECORDING = {"frame", "named"}


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command(epilog="Example: memory-attention maps --photograph coffee --query 20,33 --output maps.png")(maps)
    app.command(epilog="Example: memory-attention compare-photograph --photograph chelsea")(compare_photograph)


def maps(
    context: typer.Context,
    output: Annotated[Path, typer.Option(help="The PNG file to write.")],
    recording: Annotated[
        Path | None, typer.Argument(help="A recording's file [default: a model, run on inputs or a photograph]")
    ] = None,
    inputs: InputsOption = None,
    grid: GridOption = None,
    photograph: Annotated[str, typer.Option(help="The clip to use where there are no inputs.")] = "astronaut",
    config: ConfigOption = DEFAULT_CONFIG,
    backend: BackendOption = None,
    weights: WeightsOption = None,
    layer: Annotated[int, typer.Option(help="Which layer; −1 is the last.")] = -1,
    kind: Annotated[
        Literal["cross", "self"], typer.Option(help="cross (at the memories) or self (at the frame).")
    ] = "cross",
    query: Annotated[str | None, typer.Option(help="ROW,COLUMN of the query [default: the middle]")] = None,
    seed: SeedOption = 0,
    device: DeviceOption = None,
    dtype: DtypeOption = "float32",
    frame: Annotated[int | None, typer.Option(help="Of a recording: the frame [default: its last]")] = None,
    named: Annotated[str | None, typer.Option("--object", help="Of a recording: the object's name.")] = None,
) -> None:
    """Draw where one query looks, as a PNG: a model's on inputs or a photograph, or one of a recording."""
    require("matplotlib", "a picture")
    from .attention import draw_attention
    from .figures import save

    check_writable(output)
    check_kept(output, inputs, weights, config, recording)
    _check_options(context, recording)
    if recording is not None:
        from ..recording import load_recording
        from .recorded import draw_look

        place = None if query is None else pair_of(query, "query", "ROW,COLUMN such as 32,32")
        save(draw_look(load_recording(recording), frame, named, layer, place), output)
        console.print(f"{recording.name} → {output}")
        return
    model = load(config, backend, weights, seed, device, dtype)
    # Checked first: from here on a layer counted from the last has its own number.
    compared_steps(model.config.memory_attention, layer, kind)
    layer %= model.config.memory_attention.num_layers
    clip = None
    if inputs is None:
        from .photographs import clip_inputs, moving_crop

        clip = moving_crop(photograph, model.config.memory_bank.num_maskmem + 1, model.config.image_size)
        given = clip_inputs(model.config, clip, seed)
    else:
        given = read_inputs(inputs)
    if grid is not None:
        given = given._replace(grid=grid_option(grid))
    layer_config = model.config.memory_attention.layer
    tokens = given.curr.shape[0 if model.config.memory_attention.batch_first else 1]
    height, width = grid_of(tokens, given.grid, layer_config.cross_attention.feat_sizes)
    token = _token(query, (height, width))
    with progress_bar(counted=False) as progress:
        progress.add_task(f"{model.backend} backend", total=None)
        rows = model.attention_map(*given, layer=layer, kind=kind, queries=token)[0, :, 0].mean(axis=0)
    pointers = given.num_obj_ptr_tokens if kind == "cross" else 0
    memory_frames = None
    if clip is not None:
        memory_frames = list(clip.frames[:-1] if kind == "cross" else clip.frames[-1:])
    figure = draw_attention(
        rows,
        (height, width),
        token,
        None if clip is None else clip.frames[-1],
        memory_frames,
        pointers,
        f"{model.config.name}, layer {layer}, {kind}-attention; {_origin(weights)}",
    )
    save(figure, output)
    console.print(f"{kind}-attention of layer {layer} → {output}")


def _check_options(context: typer.Context, recording: Path | None) -> None:
    """Raise `ValueError` for an option that says nothing of a recording, or nothing without one."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        if recording is not None and name not in OF_A_RECORDING | {"output", "recording", "query", "layer"}:
            raise ValueError(f"{name} and a recording were given, expected one or the other")
        if recording is None and name in OF_A_RECORDING:
            raise ValueError(f"{name} was given without a recording, expected both or neither")


def _origin(weights: Path | None) -> str:
    return "weights are random" if weights is None else f"weights of {weights.name}"


def compare_photograph(
    output: Annotated[Path, typer.Option(help="The PNG file to write.")] = Path("attention.png"),
    photograph: Annotated[str, typer.Option(help="astronaut, chelsea, coffee or rocket.")] = "astronaut",
    config: ConfigOption = DEFAULT_CONFIG,
    backend: BackendOption = None,
    seed: SeedOption = 0,
) -> None:
    """Run the full model on a clip of a photograph in both backends, compare them, and draw where it looks."""
    require("matplotlib", "a picture")
    from .attention import draw_attention
    from .figures import save
    from .photographs import clip_inputs, moving_crop

    check_writable(output)
    check_kept(output, config)
    parsed = load_config(config)
    clip = moving_crop(photograph, parsed.memory_bank.num_maskmem + 1, parsed.image_size)
    given = clip_inputs(parsed, clip, seed)
    shown = load(parsed, backend, seed=seed)
    other = load(parsed, "accelerated" if shown.backend == "reference" else "reference", seed=seed)
    print_comparison(shown, other, compare_with_progress(shown, other, given))

    grid = given.grid or parsed.grid
    token = _token(None, grid)
    rows = shown.attention_map(*given, layer=0, queries=token)[0, :, 0].mean(axis=0)
    figure = draw_attention(
        rows,
        grid,
        token,
        clip.frames[-1],
        list(clip.frames[:-1]),
        given.num_obj_ptr_tokens,
        f"{parsed.name}, first layer, {shown.backend} backend. These weights are RANDOM: nothing was learned",
    )
    save(figure, output)
    console.print(f"picture → {output}")


def _token(query: str | None, grid: tuple[int, int]) -> int:
    height, width = grid
    if query is None:
        return (height // 2) * width + width // 2
    row, column = pair_of(query, "query", "ROW,COLUMN")
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"query is {query!r}, expected a place on the {height} × {width} grid")
    return row * width + column
