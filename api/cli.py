"""The command line: `memory-attention`, or `python -m memory_attention`."""

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.table import Table

from . import bench_cli, tracking_cli
from .backends import find_backend
from .compare import StepDifference, compare
from .configs import Config, bank_parameter_shapes, load_config
from .configs.contract import grid_of
from .console import console, progress_bar
from .cost import bank_bytes, needed_flops, step_costs
from .files import check_writable, whole_file
from .inputs import Inputs, draw_inputs, read_inputs
from .model import Model, load
from .tracking_cli import BackendOption

app = typer.Typer(
    name="memory-attention",
    help="The memory attention of SAM 2: look inside it, run it, check it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[str, typer.Option(help="A bundled config or the path of a SAM 2 YAML file.")]
WeightsOption = Annotated[Path | None, typer.Option(help="A checkpoint; without one, weights are drawn.")]
SeedOption = Annotated[int, typer.Option(help="Seed of whatever is drawn.")]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, … [default: the GPU if there is one]")]
DtypeOption = Annotated[str, typer.Option(help="float32, float64, float16 or bfloat16.")]
InputsOption = Annotated[Path | None, typer.Option(help="An .npz file; without one, inputs are drawn.")]
MemoriesOption = Annotated[int | None, typer.Option(min=1, help="Memory frames [default: a full bank]")]
ObjectsOption = Annotated[int, typer.Option(min=1, help="Objects on the frame.")]

DEFAULT_CONFIG = "sam2.1_hiera_t"


def main() -> None:
    """Run the command line; bad input exits with status 2 and one line on stderr."""
    warnings.showwarning = _warn
    try:
        status = app(standalone_mode=False)
    except (ValueError, TypeError, OSError, ImportError) as error:
        _fail(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 130)
    except Exception as error:
        # Typer's complaints about the words of a command come in several types with this one method.
        if not hasattr(error, "format_message"):
            raise
        # Without a command there is no message: the help was shown.
        if not error.format_message():
            sys.exit(2)
        _fail(error.format_message(), 2)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


@app.command(epilog="Example: memory-attention info --config sam2.1_hiera_t --objects 3")
def info(
    config: ConfigOption = DEFAULT_CONFIG,
    memories: MemoriesOption = None,
    objects: ObjectsOption = 1,
    dtype: DtypeOption = "float32",
    device: DeviceOption = None,
) -> None:
    """Show a config: every step's shape, parameters, FLOPs and bytes, and this machine's attention kernel."""
    parsed = load_config(config)
    itemsize = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}.get(dtype)
    if itemsize is None:
        raise ValueError(f"dtype is {dtype!r}, expected float32, float64, float16 or bfloat16")
    height, width = parsed.grid
    bank = parsed.memory_bank
    frames = bank.num_maskmem if memories is None else memories
    pointers = bank.max_obj_ptrs_in_encoder * parsed.num_pointer_tokens if bank.use_obj_ptrs_in_encoder else 0
    tokens = frames * height * width + pointers
    costs = step_costs(parsed, height * width, tokens, objects, itemsize)

    table = Table(title=f"{parsed.name}: one frame, {dtype}, batch-first shapes")
    table.add_column("step", no_wrap=True)
    for column in ("output", "parameters", "GFLOP", "MB"):
        table.add_column(column, justify="right", no_wrap=True)
    repeated = parsed.memory_attention.num_layers > 1
    for cost in costs:
        if repeated and cost.step.startswith("layers.") and not cost.step.startswith("layers.0."):
            continue
        shape = " × ".join(map(str, cost.shape))
        table.add_row(
            cost.step, shape, f"{cost.parameters:,}", f"{cost.flops / 1e9:.2f}", f"{cost.bytes / 1e6:.1f}"
        )
        if repeated and cost.step.endswith("feed_forward"):
            table.add_row(f"… and {parsed.memory_attention.num_layers - 1} more layers like it", "", "", "", "")
    table.add_section()
    total = [sum(getattr(cost, field) for cost in costs) for field in ("parameters", "flops", "bytes")]
    table.add_row("all steps", "", f"{total[0]:,}", f"{total[1] / 1e9:.1f}", f"{total[2] / 1e6:.0f}")
    console.print(table)
    console.print(
        f"N = {height} × {width} = {height * width:,} query tokens; M = {frames} memories + {pointers} pointer "
        f"tokens = {tokens:,}; the memory bank has {_count(bank_parameter_shapes(parsed)):,} parameters more."
    )
    needed = needed_flops(parsed, height * width, tokens, objects)
    console.print(
        f"At inference {needed / 1e9:.1f} GFLOP are enough: values stay in memory space where that saves work, "
        "and objects share what does not depend on them."
    )
    if bank.num_maskmem:
        console.print(_stream(parsed, objects, itemsize))
    console.print(f"Attention here: {_kernel(parsed, device, dtype, objects, height * width, tokens)}")


def _count(shapes: dict[str, tuple[int, ...]]) -> int:
    return sum(int(np.prod(shape)) for shape in shapes.values())


def _stream(config: Config, objects: int, itemsize: int) -> str:
    """What a memory bank holds at most, however long the video is."""
    one, two = (bank_bytes(config, objects, itemsize, prompted) / 1e6 for prompted in (1, 2))
    limit = config.memory_bank.max_cond_frames_in_attn
    more = "" if limit == -1 else f", up to {limit + 1} of them"
    return (
        f"Streaming: a bank that forgets after every frame holds at most {one:.2g} MB with one prompted frame, "
        f"and {two - one:.2g} MB more for each further one{more}."
    )


def _kernel(config: Config, device: str | None, dtype: str, objects: int, queries: int, keys: int) -> str:
    """Which form and kernel the accelerated backend takes for a cross-attention of that size; a GPU tries them."""
    try:
        import torch

        from .accelerated.choice import Problem, choose_form
        from .accelerated.kernels import pytorchs_pick
        from .accelerated_backend import find_device
    except ModuleNotFoundError:
        return "NumPy only (PyTorch is not installed)"
    where = find_device(device)
    attention = config.memory_attention.layer.cross_attention
    heads, width, torch_dtype = attention.num_heads, attention.head_dim, getattr(torch, dtype)
    problem = Problem(objects, heads, queries, keys, width, attention.key_dim, torch_dtype, where)
    form = choose_form(problem)
    kernel = form.kernel
    if kernel == "pytorch":
        few = torch.empty((1, heads, 8, width), device=where, dtype=torch_dtype)
        kernel = f"PyTorch's {pytorchs_pick(few, few, few)}"
    space = "in memory space" if form.memory_space else "projected for every head"
    return f"values {space}, kernel {kernel} (PyTorch {torch.__version__}, {where})"


@app.command(epilog="Example: memory-attention run --inputs frame.npz --output out.npz --backend accelerated")
def run(
    output: Annotated[Path, typer.Option(help="The .npz file to write, with the array 'out'.")],
    inputs: InputsOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    backend: BackendOption = None,
    weights: WeightsOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = None,
    dtype: DtypeOption = "float32",
    kernel: Annotated[str | None, typer.Option(help="Force an attention kernel [default: by size]")] = None,
    compiled: Annotated[bool, typer.Option("--compiled", help="Through torch.compile.")] = False,
) -> None:
    """Run a model: inputs from an .npz file (arrays curr, memory, …), the output to another."""
    check_writable(output)
    model = load(config, backend, weights, seed, device, dtype, kernel, compiled)
    given = _inputs(inputs, model.config, seed)
    with progress_bar(counted=False) as progress:
        progress.add_task(f"{model.backend} backend", total=None)
        out = model(*given)
    with whole_file(output) as temporary, temporary.open("wb") as file:
        np.savez(file, out=out)
    console.print(f"out {out.shape} {out.dtype} → {output}")


@app.command(
    "compare",
    epilog="Example: memory-attention compare --config sam2.1_hiera_t --backend reference --against accelerated",
)
def compare_command(
    config: ConfigOption = DEFAULT_CONFIG,
    backend: BackendOption = None,
    against: Annotated[str | None, typer.Option(help="The other backend [default: the other of our two]")] = None,
    inputs: InputsOption = None,
    weights: WeightsOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = None,
    dtype: DtypeOption = "float32",
    against_dtype: Annotated[str | None, typer.Option(help="The other dtype [default: the same]")] = None,
    memories: MemoriesOption = None,
    objects: ObjectsOption = 1,
) -> None:
    """Compare two backends, or two dtypes, step by step on the same inputs; exit 1 past a bound."""
    if inputs is not None and (memories is not None or objects != 1):
        raise ValueError("memories and objects say what to draw, but inputs were given: expected one or the other")
    backend = find_backend(backend)[0]
    against = against or ("accelerated" if backend == "reference" else "reference")
    first = load(config, backend, weights, seed, _device_for(backend, device), dtype)
    second = load(config, against, weights, seed, _device_for(against, device), against_dtype or dtype)
    given = _inputs(inputs, first.config, seed, memories, objects)
    differences = compare_with_progress(first, second, given)
    print_comparison(first, second, differences)
    if not all(difference.within for difference in differences):
        raise typer.Exit(1)


def _device_for(backend: str | None, device: str | None) -> str | None:
    """The reference has only the CPU, whatever the device of the other one."""
    return None if find_backend(backend)[0] == "reference" else device


def compare_with_progress(first: Model, second: Model, inputs: Inputs) -> list[StepDifference]:
    """`compare` under a progress bar that counts steps."""
    steps = 2 * len(step_costs(first.config, 1, 1))
    with progress_bar() as progress:
        task = progress.add_task("comparing", total=steps)
        return compare(first, second, *inputs, progress=lambda step: progress.advance(task))


def print_comparison(first: Model, second: Model, differences: list[StepDifference]) -> None:
    """Print the table of steps with their errors and bounds."""
    table = Table(title=f"{first} against {second}")
    for column in ("step", "shape", "largest error", "relative error", "bound", ""):
        table.add_column(column, justify="left" if column == "step" else "right", no_wrap=True)
    for difference in differences:
        table.add_row(
            difference.step,
            " × ".join(map(str, difference.shape)),
            f"{difference.largest_error:.1e}",
            f"{difference.relative_error:.1e}",
            f"{difference.bound:.1e}",
            "ok" if difference.within else "[bold red]PAST[/]",
        )
    console.print(table)
    past = sum(not difference.within for difference in differences)
    console.print(f"{len(differences) - past} of {len(differences)} steps inside their bounds.")


@app.command(epilog="Example: memory-attention maps --photograph coffee --query 20,33 --layer 0 --output maps.png")
def maps(
    output: Annotated[Path, typer.Option(help="The PNG file to write.")],
    inputs: InputsOption = None,
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
) -> None:
    """Draw where one query looks, as a PNG."""
    from .plots import draw_attention, save

    check_writable(output)
    model = load(config, backend, weights, seed, device, dtype)
    clip = None
    if inputs is None:
        from .photographs import clip_inputs, moving_crop

        clip = moving_crop(photograph, model.config.memory_bank.num_maskmem + 1, model.config.image_size)
        given = clip_inputs(model.config, clip, seed)
    else:
        given = read_inputs(inputs)
    layer_config = model.config.memory_attention.layer
    tokens = given.curr.shape[0 if model.config.memory_attention.batch_first else 1]
    grid = grid_of(tokens, given.grid, layer_config.cross_attention.feat_sizes)
    token = _token(query, grid)
    with progress_bar(counted=False) as progress:
        progress.add_task(f"{model.backend} backend", total=None)
        rows = model.attention_map(*given, layer=layer, kind=kind, queries=token)[0, :, 0].mean(axis=0)
    pointers = given.num_obj_ptr_tokens if kind == "cross" else 0
    memory_frames = None
    if clip is not None:
        memory_frames = list(clip.frames[:-1] if kind == "cross" else clip.frames[-1:])
    figure = draw_attention(
        rows,
        grid,
        token,
        None if clip is None else clip.frames[-1],
        memory_frames,
        pointers,
        f"{model.config.name}, layer {layer}, {kind}-attention; {_origin(weights)}",
    )
    save(figure, output)
    console.print(f"{kind}-attention of layer {layer} → {output}")


def _origin(weights: Path | None) -> str:
    return "weights are random" if weights is None else f"weights of {weights.name}"


@app.command(epilog="Example: memory-attention demo --photograph chelsea --output demo-output")
def demo(
    output: Annotated[Path, typer.Option(help="The folder for the picture.")] = Path("demo-output"),
    photograph: Annotated[str, typer.Option(help="astronaut, chelsea, coffee or rocket.")] = "astronaut",
    config: ConfigOption = DEFAULT_CONFIG,
    backend: BackendOption = None,
    seed: SeedOption = 0,
) -> None:
    """Run the full model on a clip of a photograph in both backends, compare them, and draw where it looks."""
    from .photographs import clip_inputs, moving_crop
    from .plots import draw_attention, save

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
    output.mkdir(parents=True, exist_ok=True)
    save(figure, output / "attention.png")
    console.print(f"picture → {output / 'attention.png'}")


def _inputs(path: Path | None, config: Config, seed: int, memories: int | None = None, objects: int = 1) -> Inputs:
    return draw_inputs(config, seed, memories, objects=objects) if path is None else read_inputs(path)


def _token(query: str | None, grid: tuple[int, int]) -> int:
    height, width = grid
    if query is None:
        return (height // 2) * width + width // 2
    try:
        row, column = (int(part) for part in query.split(","))
    except ValueError:
        raise ValueError(f"query is {query!r}, expected ROW,COLUMN") from None
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"query is {query!r}, expected a place on the {height} × {width} grid")
    return row * width + column


bench_cli.add_to(app)
tracking_cli.add_to(app)
