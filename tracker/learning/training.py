"""Training: short clips, the loop unrolled through its own memories, dice and cross-entropy."""

import contextlib
import copy
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from rich.progress import TextColumn, TimeRemainingColumn

from ...configs import load_config
from ...console import progress_bar
from ...rules.numbers import whole_number
from ..scores import mean
from ..weights import write_tracker
from .checkpoint import CHECKPOINT, check_same, read_checkpoint, reason_of, write_checkpoint
from .initial import check_trainable, initial_weights
from .log import COLUMNS, LOG, read_log, write_log
from .muon import Muon
from .recipe import PARTS, Recipe
from .unrolled import Part, Unrolled, one_thread, smallest_are_zero
from .workers import Workers

LOCK = "training.lock"
FIRST_AND_LAST = ("image_encoder.patch_embed.weight", "mask_decoder.mask.weight")
MOMENTS = {"muon": ("momentum",), "adamw": ("exp_avg", "exp_avg_sq")}


class Training:
    """A tracker in training: the weights, their running average, the optimisers and the step it is at.

    Muon changes the weight matrices of all layers but the image encoder's first and the mask decoder's last;
    AdamW changes all else that is learned. `whole` is a copy of all that as it was after the last whole step. What
    the parts of a step say comes `parts_from` this process, or from workers.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.step = 0
        self.seconds = 0.0
        self.rows: list[dict[str, float]] = []
        self.unrolled = Unrolled(recipe, initial_weights(load_config(recipe.config), recipe.seed))
        self.parts_from: Unrolled | Workers = self.unrolled
        self.parameters = self.unrolled.parameters
        self.average = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        rate, decay = recipe.learning_rate, recipe.weight_decay
        learned = self.unrolled.learned
        matrices = {name: parameter for name, parameter in learned.items() if parameter.ndim > 1}
        vectors = [parameter for parameter in learned.values() if parameter.ndim <= 1]
        between = {
            name: matrix
            for name, matrix in matrices.items()
            if name.endswith("weight") and name not in FIRST_AND_LAST
        }
        others = [matrix for name, matrix in matrices.items() if name not in between]
        groups = [{"params": others, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimisers = {
            "muon": Muon(between.values(), rate, decay),
            "adamw": torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98)),
        }
        self.whole = self._state()

    def advance(self) -> dict[str, float]:
        """Make one step, and return its row of the log; interrupted, `whole` is as it was before."""
        started = time.perf_counter()
        rate = self.recipe.rate(self.step)
        parts = self.parts_from.parts(self.step)
        with one_thread(), smallest_are_zero():
            self._descend(parts, rate)
        self.step += 1
        # The average is over the steps so far, at first, and then over about the last `average_over`.
        keep = min(1 - 1 / self.recipe.average_over, self.step / (self.step + 20))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                self.average[name].lerp_(parameter, 1 - keep)
        self.seconds += time.perf_counter() - started
        loss, ious = sum(part.loss for part in parts), np.concatenate([part.ious for part in parts])
        figures = (self.step, self.seconds, rate, loss, float(mean(ious, 0)))
        row = dict(zip(COLUMNS, figures, strict=True))
        self.rows.append(row)
        self.whole = self._state()
        return row

    def _descend(self, parts: list[Part], rate: float) -> None:
        """Change the parameters along the sum of the gradients of all parts."""
        for name, parameter in self.parameters.items():
            found = [torch.from_numpy(part.gradients[name]) for part in parts if name in part.gradients]
            parameter.grad = torch.stack(found).sum(0) if found else None
        torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), 1.0)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()

    def _state(self) -> dict[str, Any]:
        """A copy of all that going on needs."""
        state = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "seconds": self.seconds,
            "parameters": {name: parameter.detach() for name, parameter in self.parameters.items()},
            "average": self.average,
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
        }
        return copy.deepcopy(state)

    def save(self, folder: Path) -> None:
        """Write the log and the checkpoint as of the last whole step, each whole or not at all."""
        write_log(folder / LOG, [row for row in self.rows if row["step"] <= self.whole["step"]])
        write_checkpoint(folder / CHECKPOINT, self.whole)

    @classmethod
    def resume(cls, path: Path, recipe: Recipe) -> "Training":
        """Read what `save` wrote.

        Raises `ValueError` for a file that is none, of another recipe, or with other parameters than the config
        has by now.
        """
        state = read_checkpoint(path, recipe)
        training = cls(recipe)
        try:
            training._restore(state)
        except Exception as error:
            # What is not as expected, an optimiser tells in many kinds of errors.
            raise ValueError(
                f"{path} does not fit the config {recipe.config} as it is now ({reason_of(error)}); "
                "go on with the config that it was made with, or take another folder"
            ) from None
        return training

    def _restore(self, state: dict[str, Any]) -> None:
        """Take over what `_state` gave. Raises, in several kinds, where it is of other parameters."""
        for name in ("parameters", "average"):
            check_same(self.parameters, state[name], name)
        self.step, self.seconds, self.average = state["step"], state["seconds"], state["average"]
        self.unrolled.take(state["parameters"])
        for kind, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][kind])
            for parameter, moments in optimiser.state.items():
                for name in MOMENTS[kind]:
                    check_same({name: parameter}, {name: moments[name]}, "optimisers")
        self.whole = self._state()


def train(
    folder: str | os.PathLike[str],
    recipe: Recipe | None = None,
    command: str = "",
    stop_at: int | None = None,
    save_every: int = 100,
    show_progress: bool = True,
    workers: int = 1,
) -> Path:
    """Train a tracker in a folder, going on from its checkpoint if there is one; returns the weights' path.

    The folder gets `checkpoint.pt` and `log.csv`, every `save_every` steps and however the training ends, and at
    the end `weights.safetensors` with `command`, config and seed in its metadata. Nothing but the clips is drawn
    while training, what drops out and what is missing, and those from the seed and the step: an interrupted run
    continues as if it had not been. `stop_at` ends early, at that step. Two `workers` are processes of their own
    that come to the same weights in less time; a script that asks for them keeps its own work below
    `if __name__ == "__main__":`. Raises `ValueError` for a config that does not fit, a checkpoint or a log that
    cannot be gone on with, a number of `workers` that is not 1 or 2 (`TypeError` if it is no whole number), or a
    folder in which another training is running; `ChildProcessError` where a worker ended before its time.
    """
    recipe = recipe or Recipe()
    whole_number(workers, "workers", 1, PARTS, "parts of a step")
    check_trainable(load_config(recipe.config))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        checkpoint = folder / CHECKPOINT
        training = Training.resume(checkpoint, recipe) if checkpoint.is_file() else Training(recipe)
        training.rows = read_log(folder / LOG, training.step)
        try:
            last = recipe.steps if stop_at is None else min(recipe.steps, stop_at)
            with _working(training, workers):
                _advance(training, last, folder, save_every, show_progress)
        finally:
            training.save(folder)
        made_by = {
            "config": recipe.config,
            "seed": str(recipe.seed),
            "steps": str(training.step),
            "seconds": f"{training.seconds:.0f}",
            "command": command,
        }
        weights = folder / "weights.safetensors"
        write_tracker(weights, {name: array.numpy() for name, array in training.average.items()}, made_by)
    return weights


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which goes when the process ends, however it does."""
    try:
        with FileLock(folder / LOCK, timeout=0):
            yield
    except Timeout:
        raise ValueError(f"output: another training is running in {folder}; take another folder") from None


@contextlib.contextmanager
def _working(training: Training, count: int) -> Iterator[None]:
    """The training has so many workers within; one is this process itself."""
    if count == 1:
        yield
        return
    try:
        with Workers(training.unrolled, count) as training.parts_from:
            yield
    finally:
        training.parts_from = training.unrolled


def _advance(training: Training, last: int, folder: Path, save_every: int, show_progress: bool) -> None:
    """Make the steps up to the last, under a progress bar."""
    with progress_bar(TimeRemainingColumn(), TextColumn("{task.fields[figures]}")) as progress:
        task = progress.add_task(
            "training", total=last, completed=training.step, visible=show_progress, figures=""
        )
        while training.step < last:
            row = training.advance()
            progress.update(task, advance=1, figures=f"loss {row['loss']:.3f}, IoU {row['iou']:.2f}")
            if training.step % save_every == 0 or training.step == last:
                training.save(folder)
