"""The front door's commands: info, run, compare."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from .backends import find_backend
from .compare import StepDifference, compare
from .configs import Config, bank_parameter_shapes, load_config
from .console import console, progress_bar
from .cost import bank_bytes, needed_flops, step_costs
from .files import check_kept, check_size, check_writable, whole_file
from .inputs import Inputs, draw_inputs, read_inputs
from .model import Model, load
from .options import (
    DEFAULT_CONFIG,
    BackendOption,
    ConfigOption,
    DeviceOption,
    DtypeOption,
    GridOption,
    InputsOption,
    KernelOption,
    MemoriesOption,
    ObjectsOption,
    SeedOption,
    WeightsOption,
    grid_option,
)


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command(epilog="Example: memory-attention info --config sam2.1_hiera_t --objects 3")(info)
    app.command(epilog="Example: memory-attention run --inputs frame.npz --output out.npz")(run)
    app.command(
        "compare",
        epilog="Example: memory-attention compare --backend reference --against accelerated",
    )(compare_command)


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
    kernel = _kernel(parsed, device, dtype, objects, frames, tokens)

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
    needed = needed_flops(parsed, height * width, tokens, objects, pointers, parsed.grid)
    console.print(
        f"At inference {needed / 1e9:.1f} GFLOP are enough: values and queries go to memory space where "
        "that saves work, and objects share what does not depend on them."
    )
    if bank.num_maskmem:
        console.print(_stream(parsed, objects, itemsize))
    console.print(f"Attention here: {kernel}")


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


def _kernel(config: Config, device: str | None, dtype: str, objects: int, frames: int, keys: int) -> str:
    """Which form and kernel the accelerated backend takes for a cross-attention of that size; a GPU tries them."""
    try:
        import torch

        from .accelerated.choice import choose_axial, choose_form
        from .accelerated.kernels import pytorchs_pick
        from .accelerated.position import Places
        from .accelerated.problem import Problem
        from .backends.accelerated import find_device
    except ModuleNotFoundError:
        return "NumPy only (PyTorch is not installed)"
    where = find_device(device)
    attention = config.memory_attention.layer.cross_attention
    heads, width, torch_dtype = attention.num_heads, attention.head_dim, getattr(torch, dtype)
    (rows, columns), described = config.grid, f"(PyTorch {torch.__version__}, {where})"
    places = Places(rows, columns, frames, attention.rope_theta) if attention.rotary else None
    sizes = (objects, heads, rows * columns, keys, width, attention.key_dim)
    problem = Problem(*sizes, torch_dtype, where, config.grid if attention.rotary else None)
    if choose_axial(problem, places):
        return f"queries and values in memory space, kernel axial {described}"
    form = choose_form(problem)
    kernel = form.kernel
    if kernel == "pytorch":
        few = torch.empty((1, heads, 8, width), device=where, dtype=torch_dtype)
        kernel = f"PyTorch's {pytorchs_pick(few, few, few)}"
    space = "in memory space" if form.memory_space else "projected for every head"
    return f"values {space}, kernel {kernel} {described}"


def run(
    output: Annotated[Path, typer.Option(help="The .npz file to write, with the array 'out'.")],
    inputs: InputsOption = None,
    grid: GridOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    backend: BackendOption = None,
    weights: WeightsOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = None,
    dtype: DtypeOption = "float32",
    kernel: KernelOption = None,
    compiled: Annotated[bool, typer.Option("--compiled", help="Through torch.compile.")] = False,
) -> None:
    """Run a model: inputs from an .npz file (arrays curr, memory, …), the output to another."""
    check_writable(output)
    check_kept(output, inputs, weights, config)
    model = load(config, backend, weights, seed, device, dtype, kernel, compiled)
    given = _inputs(inputs, model.config, seed, grid_option(grid))
    _check_matrix(model, given)
    with progress_bar(counted=False) as progress:
        progress.add_task(f"{model.backend} backend", total=None)
        out = model(*given)
    with whole_file(output) as temporary, temporary.open("wb") as file:
        np.savez(file, out=out)
    console.print(f"out {out.shape} {out.dtype} → {output}; {origin_of(weights)}")


def origin_of(weights: Path | None) -> str:
    """Where the weights of a model are from, in words."""
    return "weights are random" if weights is None else f"weights of {weights.name}"


def compare_command(
    config: ConfigOption = DEFAULT_CONFIG,
    backend: BackendOption = None,
    against: Annotated[str | None, typer.Option(help="The other backend [default: the other of our two]")] = None,
    inputs: InputsOption = None,
    grid: GridOption = None,
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
    if find_backend(against)[0] == backend and against_dtype in (None, dtype):
        raise ValueError(f"against is {against!r} in the same dtype, expected another backend or another dtype")
    first = load(config, backend, weights, seed, _device_for(backend, device), dtype)
    second = load(config, against, weights, seed, _device_for(against, device), against_dtype or dtype)
    given = _inputs(inputs, first.config, seed, grid_option(grid), memories, objects)
    for model in (first, second):
        _check_matrix(model, given)
    differences = compare_with_progress(first, second, given)
    print_comparison(first, second, differences)
    if not all(difference.within for difference in differences):
        raise typer.Exit(1)


def _check_matrix(model: Model, given: Inputs) -> None:
    """Raise `ValueError` where the reference's logits, which it holds all at once, are beyond the limit."""
    if model.backend == "reference":
        batch_first = not model.config.memory_attention.batch_first
        (queries, objects), (keys, seen_by) = (
            (array.shape[1::-1] if batch_first else array.shape[:2]) for array in (given.curr, given.memory)
        )
        layer = model.config.memory_attention.layer
        heads = max(layer.self_attention.num_heads * queries, layer.cross_attention.num_heads * keys)
        size = max(objects, seen_by) * queries * heads * np.dtype(model.dtype).itemsize
        check_size(size, f"the reference backend's matrix of {queries:,} × {max(queries, keys):,} logits")


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
    console.print(difference_table(f"{first} against {second}", "step", "shape", differences))
    past = sum(not difference.within for difference in differences)
    console.print(f"{len(differences) - past} of {len(differences)} steps inside their bounds.")


def difference_table(title: str, compared: str, shape: str, differences: list[StepDifference]) -> Table:
    """What was compared, with its shape, its errors and its bound; two of the columns are named so."""
    table = Table(title=title)
    table.add_column(compared, justify="left", no_wrap=True)
    for column in (shape, "largest error", "relative error", "bound", ""):
        table.add_column(column, justify="right", no_wrap=True)
    for difference in differences:
        table.add_row(
            difference.step,
            " × ".join(map(str, difference.shape)),
            f"{difference.largest_error:.1e}",
            f"{difference.relative_error:.1e}",
            f"{difference.bound:.1e}",
            Text("ok") if difference.within else Text("PAST", style="bold red"),
        )
    return table


def _inputs(
    path: Path | None,
    config: Config,
    seed: int,
    grid: tuple[int, int] | None,
    memories: int | None = None,
    objects: int = 1,
) -> Inputs:
    """Read or drawn; a grid that is given counts more than that of the file."""
    if path is None:
        return draw_inputs(config, seed, memories, objects=objects, grid=grid)
    given = read_inputs(path)
    return given if grid is None else given._replace(grid=grid)
