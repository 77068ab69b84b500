"""The command that writes the memory attention for other programs: export."""

from pathlib import Path
from typing import Annotated

import typer

from ..commands import difference_table
from ..compare import StepDifference
from ..configs import load_config
from ..console import console, progress_bar
from ..files import check_kept, check_writable
from ..model import load
from ..options import DEFAULT_CONFIG, ConfigOption, SeedOption, WeightsOption, grid_option
from .exporting import FORMATS, check_format, export
from .form import DTYPES, OPSETS, Form

FREE = "free"


def add_to(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command(
        "export", epilog="Example: memory-attention export --weights sam2.1_hiera_tiny.pt --output memory.onnx"
    )(export_command)


def export_command(
    output: Annotated[Path, typer.Option(help="The file to write.")],
    config: ConfigOption = DEFAULT_CONFIG,
    weights: WeightsOption = None,
    seed: SeedOption = 0,
    grid: Annotated[
        str | None, typer.Option(help="ROWS,COLUMNS for good, or 'free' [default: the config's]")
    ] = None,
    dtype: Annotated[str, typer.Option(help=f"{', '.join(DTYPES)}; the last with opset 18.")] = "float32",
    opset: Annotated[int, typer.Option(help=f"{' or '.join(map(str, OPSETS))}, of ONNX.")] = 23,
    parts: Annotated[int, typer.Option(min=1, help="Queries attend in so many parts, to save memory.")] = 1,
    kind: Annotated[str, typer.Option("--format", help=" or ".join(FORMATS))] = "onnx",
) -> None:
    """Write the memory attention as ONNX or for torch.export; verified before the file is there."""
    check_writable(output)
    check_kept(output, weights, config)
    parsed = load_config(config)
    fixed = None if grid == FREE else grid_option(grid) or parsed.grid
    form = Form(opset, dtype, fixed, parts)
    check_format(kind, form, output)
    model = load(parsed, "reference", weights, seed, dtype=dtype)
    differences: list[StepDifference] = []
    with progress_bar(counted=False) as progress:
        progress.add_task("exporting and verifying", total=None)
        try:
            export(output, parsed, model.weights, form, kind, seed, differences.append)
        finally:
            if differences:
                title = "exported, against the reference in float64"
                console.print(difference_table(title, "drawn", "output", differences))
    console.print(f"verified against the reference in float64 → {output}")
