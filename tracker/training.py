"""Training: short clips, the loop unrolled through its own memories, dice and cross-entropy."""

import csv
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor
from torch.nn import functional as F

from ..configs import load_config
from ..console import stderr
from ..files import whole_file
from ..weights import PREFIX
from .data import make_clip
from .initial import initial_weights
from .photographs import TRAINING
from .tracker import Tracker
from .weights import write_tracker

LEAST_AREA = 200
CHECKPOINT = "checkpoint.pt"
LOG = "log.csv"
COLUMNS = ("step", "seconds", "learning_rate", "loss", "iou")


@dataclass(frozen=True)
class Recipe:
    """How the tracker is trained.

    Each step has about so many `frames`, in fewer but longer clips from one equal part of the steps to the
    next (`lengths`), and follows so many `objects` of each clip.
    """

    config: str = "tracker"
    seed: int = 0
    steps: int = 2000
    frames: int = 24
    objects: int = 2
    lengths: tuple[int, ...] = (2, 2, 4, 4, 8)
    span: int = 16
    learning_rate: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.03
    average_over: int = 500

    def length(self, step: int) -> int:
        """Frames of the clips of a step."""
        return self.lengths[step * len(self.lengths) // self.steps]

    def rate(self, step: int) -> float:
        """The learning rate of a step: a linear warm-up, then half a cosine down to a fiftieth."""
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * min(1, (step + 1) / self.warmup) * (0.02 + 0.98 * cosine)


def training_clips(
    recipe: Recipe, step: int
) -> tuple[Float[np.ndarray, "T V S S 3"], Bool[np.ndarray, "T K S S"]]:
    """The clips of a step with the masks of `objects` objects of each; they depend on seed and step alone.

    The frames of some clips follow each other closely, those of others are spread over `span` frames, so
    that few frames tell long stories too.
    """
    frames, masks = [], []
    length = recipe.length(step)
    for index in range(recipe.frames // length):
        rng = np.random.default_rng([recipe.seed, step, index])
        longest_gap = rng.integers(1, (recipe.span - 1) // (length - 1) + 1)
        gaps = rng.integers(1, longest_gap + 1, length - 1)
        clip = make_clip(rng, TRAINING, np.concatenate([[0.0], np.cumsum(gaps)]), recolour=True)
        in_sight = np.flatnonzero(clip.masks[0].sum(axis=(1, 2)) >= LEAST_AREA)
        frames.append(clip.frames)
        # The target is followed in any case; where nothing else is in sight, it is followed twice.
        masks.append(clip.masks[:, np.resize(in_sight, recipe.objects)])
    return np.stack(frames, axis=1), np.concatenate(masks, axis=1)


def mask_loss(logits: Float[Tensor, "B S S"], masks: Float[Tensor, "B S S"]) -> Float[Tensor, ""]:
    """Four times the cross-entropy of the pixels, and dice: 1 − 2 |A ∩ B| / (|A| + |B|).

    Both sides of the fraction have 8 pixels added, so that an empty mask is well found by an empty one.
    Source: Milletari et al., 2016, arXiv:1606.04797, section 3.
    """
    found = logits.sigmoid()
    shared = (found * masks).sum((1, 2))
    dice = 1 - (2 * shared + 8) / (found.sum((1, 2)) + masks.sum((1, 2)) + 8)
    return 4 * F.binary_cross_entropy_with_logits(logits, masks) + dice.mean()


class Training:
    """A tracker in training: the weights, their running average, the optimiser and the step it is at."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.step = 0
        self.seconds = 0.0
        config = load_config(recipe.config)
        self.tracker = Tracker(config, initial_weights(config, recipe.seed), "accelerated", device="cpu")
        network: Any = self.tracker.attention.network
        self.parameters: dict[str, Tensor] = {
            **{PREFIX + name: parameter for name, parameter in network.module.named_parameters()},
            **dict(self.tracker.bank.named_parameters()),
        }
        for name, parameter in self.tracker.networks.parameters.items():
            # The bank has copies of its own.
            if name not in self.parameters:
                self.parameters[name] = parameter.requires_grad_()
        self.average = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        matrices = [parameter for parameter in self.parameters.values() if parameter.ndim > 1]
        vectors = [parameter for parameter in self.parameters.values() if parameter.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))

    def advance(self) -> dict[str, float]:
        """Make one step and return its row of the log."""
        started = time.perf_counter()
        rate = self.recipe.rate(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        frames, masks = (torch.from_numpy(array) for array in training_clips(self.recipe, self.step))
        losses, ious = [], []
        bank = self.tracker.new_bank()
        truth = masks.float()
        # All frames are encoded at once, which is faster: what an image looks like needs no memory.
        encoded = self.tracker.networks.encode_image(frames.flatten(0, 1))
        views = (part.unflatten(0, frames.shape[:2]) for part in encoded)
        for frame, (fine, features) in enumerate(zip(*views, strict=True)):
            seen = self.tracker.for_objects(fine, features, self.recipe.objects)
            logits = self.tracker.step(bank, frame, seen, None if frame else truth[0]).logits
            if logits is not None:
                losses.append(mask_loss(logits, truth[frame]))
                ious.append(_iou(logits.detach() > 0, masks[frame]))
        loss = torch.stack(losses).mean()
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), 1.0)
        self.optimiser.step()
        self.step += 1
        # The average is over the steps so far, at first, and then over about the last `average_over`.
        keep = min(1 - 1 / self.recipe.average_over, self.step / (self.step + 20))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                self.average[name].lerp_(parameter, 1 - keep)
        self.seconds += time.perf_counter() - started
        row = (self.step, self.seconds, rate, loss.item(), torch.cat(ious).nanmean().item())
        return dict(zip(COLUMNS, row, strict=True))

    def save(self, path: Path) -> None:
        """Write all that going on needs, whole or not at all."""
        state = {
            "recipe": asdict(self.recipe) | {"lengths": list(self.recipe.lengths)},
            "step": self.step,
            "seconds": self.seconds,
            "parameters": {name: parameter.detach() for name, parameter in self.parameters.items()},
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        with whole_file(path) as temporary:
            torch.save(state, temporary)

    @classmethod
    def resume(cls, path: Path, recipe: Recipe) -> "Training":
        """Read what `save` wrote. Raises `ValueError` for a file that is none, or of another recipe."""
        try:
            state: dict[str, Any] = torch.load(path, weights_only=True)
            made_by = Recipe(**state["recipe"] | {"lengths": tuple(state["recipe"]["lengths"])})
            if state.keys() != {"recipe", "step", "seconds", "parameters", "average", "optimiser"}:
                raise KeyError("other entries than a checkpoint's")
        except Exception as error:
            # Unpickling raises many kinds; whatever the kind, the file could not be read.
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(f"{path}: not a readable checkpoint ({reason}); remove it to start anew") from None
        if made_by != recipe:
            raise ValueError(f"{path} is of another recipe, {made_by}; take another folder, or remove it")
        training = cls(recipe)
        training.step, training.seconds = state["step"], state["seconds"]
        with torch.no_grad():
            for name, parameter in training.parameters.items():
                parameter.copy_(state["parameters"][name])
        training.average = state["average"]
        training.optimiser.load_state_dict(state["optimiser"])
        return training


def train(
    folder: str | os.PathLike[str],
    recipe: Recipe | None = None,
    command: str = "",
    stop_at: int | None = None,
    save_every: int = 100,
    show_progress: bool = True,
) -> Path:
    """Train a tracker in a folder, going on from its checkpoint if there is one; returns the weights' path.

    The folder gets `checkpoint.pt`, every `save_every` steps, `log.csv`, and at the end
    `weights.safetensors` with `command`, config and seed in its metadata. Nothing but the clips is drawn
    while training, and those from the seed and the step: an interrupted run continues as if it had not
    been. `stop_at` ends early, at that step.
    """
    recipe = recipe or Recipe()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, log = folder / CHECKPOINT, folder / LOG
    training = Training.resume(checkpoint, recipe) if checkpoint.is_file() else Training(recipe)
    rows = read_log(log, training.step)
    last = min(recipe.steps, stop_at or recipe.steps)
    for row in _with_progress(training, last, show_progress):
        rows.append(row)
        if training.step % save_every == 0 or training.step == last:
            _write_log(log, rows)
            training.save(checkpoint)
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


def _with_progress(training: Training, last: int, show: bool) -> Iterator[dict[str, float]]:
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, disable=not show, console=stderr) as progress:
        task = progress.add_task("", total=last, completed=training.step, figures="")
        while training.step < last:
            row = training.advance()
            progress.update(task, advance=1, figures=f"loss {row['loss']:.3f}, IoU {row['iou']:.2f}")
            yield row


def _iou(found: Bool[Tensor, "B S S"], masks: Bool[Tensor, "B S S"]) -> Float[Tensor, " B"]:
    """Intersection over union of each pair; NaN where there is nothing to find."""
    both, either = (found & masks).sum((1, 2)), (found | masks).sum((1, 2))
    return torch.where(masks.any(-1).any(-1), both / either.clamp(min=1), torch.nan)


def read_log(path: Path, steps: int) -> list[dict[str, float]]:
    """The rows of the steps that the checkpoint knows."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return [row for row in rows if row["step"] <= steps]


def _write_log(path: Path, rows: list[dict[str, float]]) -> None:
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
