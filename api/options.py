"""The options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

BackendOption = Annotated[
    str | None,
    typer.Option(help="reference, accelerated or a registered one [default: $MEMORY_ATTENTION_BACKEND]"),
]
ConfigOption = Annotated[str, typer.Option(help="A bundled config or the path of a SAM 2 YAML file.")]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        help="A checkpoint or its folder; file.pt::ema chooses one of several. Without it weights are drawn."
    ),
]
SeedOption = Annotated[int, typer.Option(help="Seed of whatever is drawn.")]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, … [default: the GPU if there is one]")]
DtypeOption = Annotated[str, typer.Option(help="float32, float64, float16 or bfloat16.")]
KernelOption = Annotated[str | None, typer.Option(help="Force the attention kernel [default: by size]")]
InputsOption = Annotated[Path | None, typer.Option(help="An .npz file; without one, inputs are drawn.")]
GridOption = Annotated[
    str | None, typer.Option(help="ROWS,COLUMNS of the frame's tokens [default: the inputs' own]")
]
MemoriesOption = Annotated[int | None, typer.Option(min=1, help="Memory frames [default: a full bank]")]
ObjectsOption = Annotated[int, typer.Option(min=1, help="Objects on the frame.")]

DEFAULT_CONFIG = "sam2.1_hiera_t"


def pair_of(words: str, name: str, expected: str) -> tuple[int, int]:
    """Two whole numbers with a comma between them. Raises `ValueError` naming the option."""
    try:
        first, second = (int(part) for part in words.split(","))
    except ValueError:
        raise ValueError(f"{name} is {words!r}, expected {expected}") from None
    return first, second


def grid_option(words: str | None) -> tuple[int, int] | None:
    """The (h, w) that `--grid` asks for, if it is given. Raises `ValueError` for one that is no grid."""
    if words is None:
        return None
    height, width = pair_of(words, "grid", "ROWS,COLUMNS such as 36,64")
    if height < 1 or width < 1:
        raise ValueError(f"grid is {words!r}, expected at least one row and one column")
    return height, width
