"""The command that trains a tracker."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..console import console
from ..files import check_folder
from ..rules.packages import require
from .options import FolderOption


def train(
    output: FolderOption = Path("training"),
    seed: Annotated[int, typer.Option(help="Seed of the weights and the clips.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps [default: the recipe's]")] = None,
    config: Annotated[str, typer.Option(help="The tracker's config.")] = "tracker",
) -> None:
    """Train a tracker; run it again on the same folder to go on where it stopped."""
    require("torch", "training")
    require("skimage", "training")
    from ..pictures.figures import save
    from .plots import draw_training_log
    from .training import Recipe, read_log
    from .training import train as run_training

    check_folder(output)
    recipe = Recipe(config=config, seed=seed)
    recipe = recipe if steps is None else replace(recipe, steps=steps)
    command = f"memory-attention train --config {config} --seed {seed} --steps {recipe.steps}"
    weights = run_training(output, recipe, command)
    rows = read_log(output / "log.csv", recipe.steps)
    save(draw_training_log(rows, command), output / "log.png")
    console.print(f"weights → {weights}; the log as a plot → {output / 'log.png'}")
