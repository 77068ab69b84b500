"""The command that trains a tracker."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..console import console, stderr
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
    from .training import Recipe
    from .training import train as run_training
    from .training_log import LOG, read_log

    check_folder(output)
    recipe = Recipe(config=config, seed=seed)
    recipe = recipe if steps is None else replace(recipe, steps=steps)
    words = ("train", "--config", config, "--seed", str(seed), "--steps", str(recipe.steps))
    command = shlex.join(("memory-attention", *words))
    try:
        weights = run_training(output, recipe, command)
    except (KeyboardInterrupt, SystemExit):
        done = len(read_log(output / LOG, recipe.steps))
        again = f"{command} --output {shlex.quote(str(output))}"
        stderr.print(
            f"stopped after step {done} of {recipe.steps}, which is saved; to go on: {again}", soft_wrap=True
        )
        raise
    rows = read_log(output / LOG, recipe.steps)
    save(draw_training_log(rows, command), output / "log.png")
    console.print(f"weights → {weights}; the log as a plot → {output / 'log.png'}")
