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
from jaxtyping import Bool, Float
from rich.progress import TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn import functional as F

from ...configs import load_config
from ...console import progress_bar
from ...weights import PREFIX
from ..tracker import Tracker
from ..weights import write_tracker
from .checkpoint import CHECKPOINT, check_same, read_checkpoint, reason_of, write_checkpoint
from .data import make_clip
from .dropping import DroppingBank
from .initial import check_trainable, initial_weights
from .log import COLUMNS, LOG, read_log, write_log
from .photographs import TRAINING
from .recipe import Recipe

LEAST_AREA = 200
LOCK = "training.lock"


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
        times = np.concatenate([[0.0], np.cumsum(gaps)])
        # Only where it matters: the clips of a recipe without hard ones stay as they are.
        hard = recipe.hard > 0 and rng.random() < recipe.hard
        clip = make_clip(rng, TRAINING, times, recolour=True, resize=recipe.resize, hard=hard)
        in_sight = np.flatnonzero(clip.masks[0].sum(axis=(1, 2)) >= LEAST_AREA)
        frames.append(clip.frames)
        # The target is followed in any case; where nothing else is in sight, it is followed twice.
        masks.append(clip.masks[:, np.resize(in_sight, recipe.objects)])
    return np.stack(frames, axis=1), np.concatenate(masks, axis=1)


def mask_loss(
    logits: Float[Tensor, "B S S"], masks: Float[Tensor, "B S S"], hidden_weight: float
) -> Float[Tensor, ""]:
    """Four times the cross-entropy of the pixels, and dice: 1 − 2 |A ∩ B| / (|A| + |B|).

    Both sides of the fraction have 8 pixels added, so that an empty mask is well found by an empty one. An
    object that is hidden counts `hidden_weight` times.
    Source: Milletari et al., 2016, arXiv:1606.04797, section 3.
    """
    found = logits.sigmoid()
    shared = (found * masks).sum((1, 2))
    dice = 1 - (2 * shared + 8) / (found.sum((1, 2)) + masks.sum((1, 2)) + 8)
    entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none").mean((1, 2))
    weight = torch.where(masks.any(-1).any(-1), 1, hidden_weight)
    return (weight * (4 * entropy + dice)).mean()


class Training:
    """A tracker in training: the weights, their running average, the optimiser and the step it is at.

    `whole` is a copy of all that as it was after the last whole step.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.step = 0
        self.seconds = 0.0
        self.rows: list[dict[str, float]] = []
        config = load_config(recipe.config)
        self.tracker = Tracker(config, initial_weights(config, recipe.seed), "accelerated", device="cpu")
        # What is judged hidden is no smooth function of the weights.
        self.tracker.least_pixels = 0
        network: Any = self.tracker.attention.network
        # So that it drops out what the config says.
        network.module.train()
        self.parameters: dict[str, Tensor] = {
            **{PREFIX + name: parameter for name, parameter in network.module.named_parameters()},
            **dict(self.tracker.bank.named_parameters()),
        }
        for name, parameter in self.tracker.networks.parameters.items():
            # The bank has copies of its own.
            if name not in self.parameters:
                self.parameters[name] = parameter
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        self.average = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        matrices = [parameter for parameter in self.parameters.values() if parameter.ndim > 1]
        vectors = [parameter for parameter in self.parameters.values() if parameter.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))
        self.whole = self._state()

    def advance(self) -> dict[str, float]:
        """Make one step, and return its row of the log; interrupted, `whole` is as it was before."""
        started = time.perf_counter()
        rate = self.recipe.rate(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        frames, masks = (torch.from_numpy(array) for array in training_clips(self.recipe, self.step))
        with _drawn_by(self.recipe.seed, self.step):
            loss, iou = self._follow(frames, masks)
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
        row = dict(zip(COLUMNS, (self.step, self.seconds, rate, loss.item(), iou), strict=True))
        self.rows.append(row)
        self.whole = self._state()
        return row

    def _follow(
        self, frames: Float[Tensor, "T V S S 3"], masks: Bool[Tensor, "T K S S"]
    ) -> tuple[Float[Tensor, ""], float]:
        """Loss and IoU of the masks that are found in the clips, the mean over frames and objects."""
        losses, ious = [], []
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, self.step])
        bank = DroppingBank(self.tracker.new_bank(), rng, *recipe.dropped(self.step))
        truth = masks.float()
        # All frames are encoded at once, which is faster: what an image looks like needs no memory.
        encoded = self.tracker.networks.encode_image(frames.flatten(0, 1))
        views = (part.unflatten(0, frames.shape[:2]) for part in encoded)
        for frame, (fine, features) in enumerate(zip(*views, strict=True)):
            seen = self.tracker.for_objects(fine, features, self.recipe.objects)
            logits = self.tracker.step(bank, frame, seen, None if frame else truth[0]).logits
            if logits is not None:
                losses.append(mask_loss(logits, truth[frame], self.recipe.hidden_weight))
                ious.append(_iou(logits.detach() > 0, masks[frame]))
        return torch.stack(losses).mean(), torch.cat(ious).nanmean().item()

    def _state(self) -> dict[str, Any]:
        """A copy of all that going on needs."""
        state = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "seconds": self.seconds,
            "parameters": {name: parameter.detach() for name, parameter in self.parameters.items()},
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
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
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state["parameters"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        for parameter, moments in self.optimiser.state.items():
            for name in ("exp_avg", "exp_avg_sq"):
                check_same({name: parameter}, {name: moments[name]}, "optimiser")
        self.whole = self._state()


@contextlib.contextmanager
def _drawn_by(*seed: int) -> Iterator[None]:
    """What PyTorch draws within, on the CPU, follows from these numbers; its own generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]))
        yield


def train(
    folder: str | os.PathLike[str],
    recipe: Recipe | None = None,
    command: str = "",
    stop_at: int | None = None,
    save_every: int = 100,
    show_progress: bool = True,
) -> Path:
    """Train a tracker in a folder, going on from its checkpoint if there is one; returns the weights' path.

    The folder gets `checkpoint.pt` and `log.csv`, every `save_every` steps and however the training ends, and at
    the end `weights.safetensors` with `command`, config and seed in its metadata. Nothing but the clips is drawn
    while training, what drops out and what is missing, and those from the seed and the step: an interrupted run
    continues as if it had not been. `stop_at` ends early, at that step. Raises `ValueError` for a config that
    does not fit, a checkpoint or a log that cannot be gone on with, or a folder in which another training is
    running.
    """
    recipe = recipe or Recipe()
    check_trainable(load_config(recipe.config))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        checkpoint = folder / CHECKPOINT
        training = Training.resume(checkpoint, recipe) if checkpoint.is_file() else Training(recipe)
        training.rows = read_log(folder / LOG, training.step)
        try:
            _advance(
                training,
                recipe.steps if stop_at is None else min(recipe.steps, stop_at),
                folder,
                save_every,
                show_progress,
            )
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


def _iou(found: Bool[Tensor, "B S S"], masks: Bool[Tensor, "B S S"]) -> Float[Tensor, " B"]:
    """Intersection over union of each pair; NaN where there is nothing to find."""
    both, either = (found & masks).sum((1, 2)), (found | masks).sum((1, 2))
    return torch.where(masks.any(-1).any(-1), both / either.clamp(min=1), torch.nan)
