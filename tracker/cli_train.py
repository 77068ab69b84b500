"""The command that trains a tracker."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..console import console, stderr
from ..files import check_folder
from ..rules.packages import require
from .learning.log import LOG, read_log
from .learning.recipe import PARTS, Recipe
from .options import FolderOption


def train(
    output: FolderOption = Path("training"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the weights and the clips.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps [default: the recipe's]")] = None,
    config: Annotated[str, typer.Option(help="The tracker's config.")] = "tracker",
    workers: Annotated[
        int, typer.Option(min=1, max=PARTS, help="Processes, which come to the same weights.")
    ] = PARTS,
) -> None:
    """Train a tracker; run it again on the same folder to go on where it stopped."""
    require("torch", "training")
    require("skimage", "training")
    from ..pictures.figures import save
    from .learning.training import train as run_training
    from .plots import draw_training_log

    check_folder(output)
    recipe = Recipe(config=config, seed=seed)
    recipe = recipe if steps is None else replace(recipe, steps=steps)
    words = ["train", "--config", config, "--seed", str(seed), "--steps", str(recipe.steps)]
    command = shlex.join(("memory-attention", *words))
    try:
        weights = run_training(output, recipe, command, workers=workers)
    except (KeyboardInterrupt, SystemExit, ChildProcessError) as error:
        count = 1 if isinstance(error, ChildProcessError) else workers
        again = f"{command} --workers {count} --output {shlex.quote(str(output))}"
        stderr.print(f"stopped{_saved(output / LOG, recipe.steps)}; to go on: {again}", soft_wrap=True)
        raise
    rows = read_log(output / LOG)
    save(draw_training_log(rows, command), output / "log.png")
    console.print(f"weights → {weights}; the log as a plot → {output / 'log.png'}")


def _saved(log: Path, steps: int) -> str:
    """Which step is saved, where the log says it."""
    try:
        rows = read_log(log)
    except ValueError:
        return ""
    return f" after step {rows[-1]['step']:.0f} of {steps}, which is saved" if rows else " before the first step"
