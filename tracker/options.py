"""The options that several of the tracker's commands take."""

from pathlib import Path
from typing import Annotated

import typer

WeightsOption = Annotated[Path | None, typer.Option(help="A trained tracker [default: the bundled one]")]
