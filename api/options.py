"""The options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

BackendOption = Annotated[
    str | None,
    typer.Option(help="reference, accelerated or a registered one [default: $MEMORY_ATTENTION_BACKEND]"),
]
ConfigOption = Annotated[str, typer.Option(help="A bundled config or the path of a SAM 2 YAML file.")]
WeightsOption = Annotated[Path | None, typer.Option(help="A checkpoint; without one, weights are drawn.")]
SeedOption = Annotated[int, typer.Option(help="Seed of whatever is drawn.")]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, … [default: the GPU if there is one]")]
DtypeOption = Annotated[str, typer.Option(help="float32, float64, float16 or bfloat16.")]
InputsOption = Annotated[Path | None, typer.Option(help="An .npz file; without one, inputs are drawn.")]
MemoriesOption = Annotated[int | None, typer.Option(min=1, help="Memory frames [default: a full bank]")]
ObjectsOption = Annotated[int, typer.Option(min=1, help="Objects on the frame.")]

DEFAULT_CONFIG = "sam2.1_hiera_t"
