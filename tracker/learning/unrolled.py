"""What a step teaches: the loop unrolled over the step's clips, its loss, and the gradients of that."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from ...configs import load_config
from ...weights import PREFIX, Weights
from ..scores import iou
from ..tracker import Tracker
from .data import make_clip
from .dropping import DroppingBank
from .initial import settled
from .photographs import TRAINING
from .recipe import Recipe

LEAST_AREA = 200


class Part(NamedTuple):
    """What a part of a step's clips gave; the losses and the gradients of all parts add up to the step's.

    `ious` of every object in every frame, NaN where there is nothing to find. Parameters that were not used,
    or are not learned, have no gradient.
    """

    loss: float
    ious: Float[np.ndarray, " n"]
    gradients: dict[str, Float[np.ndarray, "..."]]


def training_clips(
    recipe: Recipe, step: int, part: int = 0, parts: int = 1
) -> tuple[Float[np.ndarray, "T V S S 3"], Bool[np.ndarray, "T K S S"]]:
    """A part of the clips of a step, with the masks of `objects` objects of each.

    They depend on seed and step alone. The frames of some clips follow each other closely, those of others are
    spread over `span` frames, so that few frames tell long stories too.
    """
    frames, masks = [], []
    length = recipe.length(step)
    for index in range(part, recipe.clips(step), parts):
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


class Unrolled:
    """A tracker to be taught: what a part of a step's clips says of those `parameters` that are `learned`."""

    def __init__(self, recipe: Recipe, weights: Weights) -> None:
        self.recipe = recipe
        self.tracker = Tracker(load_config(recipe.config), weights, "accelerated", device="cpu")
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
        unlearned = settled(self.tracker.config)
        self.learned = {name: each for name, each in self.parameters.items() if name not in unlearned}
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(name in self.learned)

    def take(self, values: Mapping[str, Tensor]) -> None:
        """Set the parameters to these values."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(values[name])

    def values(self) -> Weights:
        """The parameters' own arrays, not copied: they change with them."""
        return {name: parameter.detach().numpy() for name, parameter in self.parameters.items()}

    def parts(self, step: int) -> list[Part]:
        """All parts of a step, one after the other."""
        return [self.part(step, part) for part in range(self.recipe.parts(step))]

    def part(self, step: int, part: int) -> Part:
        """One part of a step, on one thread."""
        with one_thread(), smallest_are_zero(), _drawn_by(self.recipe.seed, step, part):
            clips = training_clips(self.recipe, step, part, self.recipe.parts(step))
            frames, masks = map(torch.from_numpy, clips)
            loss, ious = self._follow(frames, masks, step, part)
            loss = frames.shape[1] / self.recipe.clips(step) * loss
            found = torch.autograd.grad(loss, list(self.learned.values()), allow_unused=True)
        gradients = {
            name: gradient.numpy()
            for name, gradient in zip(self.learned, found, strict=True)
            if gradient is not None
        }
        return Part(loss.item(), ious, gradients)

    def _follow(
        self, frames: Float[Tensor, "T V S S 3"], masks: Bool[Tensor, "T K S S"], step: int, part: int
    ) -> tuple[Float[Tensor, ""], Float[np.ndarray, " n"]]:
        """The loss of the masks that are found in the clips, and their IoU."""
        losses, ious = [], []
        recipe = self.recipe
        # A number more than the clips' own draws have.
        rng = np.random.default_rng([recipe.seed, step, part, 1])
        bank = DroppingBank(self.tracker.new_bank(), rng, *recipe.dropped(step))
        truth = masks.float()
        # All frames are encoded at once, which is faster: what an image looks like needs no memory.
        encoded = self.tracker.networks.encode_image(frames.flatten(0, 1))
        views = (each.unflatten(0, frames.shape[:2]) for each in encoded)
        for frame, (fine, features) in enumerate(zip(*views, strict=True)):
            seen = self.tracker.for_objects(fine, features, recipe.objects)
            logits = self.tracker.step(bank, frame, seen, None if frame else truth[0]).logits
            if logits is not None:
                losses.append(mask_loss(logits, truth[frame], recipe.hidden_weight))
                ious.append(iou((logits.detach() > 0).numpy(), masks[frame].numpy()))
        return torch.stack(losses).mean(), np.concatenate(ious)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes on one thread within: the same numbers whatever the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def smallest_are_zero() -> Iterator[None]:
    """Numbers below 1e-38 are zero within: a sharp softmax has many, and processors are slow at them."""
    before = is_flushing()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def is_flushing() -> bool:
    """Whether numbers below 1e-38 are zero now."""
    return not torch.full((1,), 1e-30).mul(1e-10).item()


@contextlib.contextmanager
def _drawn_by(*seed: int) -> Iterator[None]:
    """What PyTorch draws within, on the CPU, follows from these numbers; its own generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]))
        yield
