"""How well the tracker tracks held-out clips, against an emptied memory and against copying the first mask."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ..attention_map import attention_rows, compared_steps
from ..configs import Config
from ..console import counted
from ..rules.packages import require
from ..weights import Weights
from .learning.data import Clip, make_clip
from .learning.photographs import HELD_OUT
from .loop import Step
from .network import patches
from .scores import iou, mean, standard_error
from .tracker import Tracker

HELD_OUT_SEED = 10_000

Collect = Callable[[Bool[np.ndarray, "T B S S"]], None]
# Frames [T,V,S,S,3] of V clips, and the masks [T,B,S,S] of B / V objects of each.
Annotated = tuple[Float[np.ndarray, "T V S S 3"], Bool[np.ndarray, "T B S S"]]


@dataclass(frozen=True)
class Report:
    """Mean IoU (region similarity J) of the targets over the clips, without the prompted frames.

    Each target counts by its mean over the frames in which it is in sight. `hidden_found_empty` is
    the share, of all `hidden_frames`, in which the mask found is empty, as it should be. `attention_share`
    says, for each layer, how often the target's queries look at the target's cells in memory, relative
    to the share of the memory's area that these have; `pointer_share`, how much of their attention object
    pointers get. `pointers_cost` is the IoU that is lost without pointers, with its standard error over
    the clips.
    """

    clips: int
    frames: int
    iou: float
    iou_without_memory: float
    iou_of_first_mask: float
    hidden_frames: int
    hidden_found_empty: float
    attention_share: tuple[float, ...]
    pointer_share: tuple[float, ...]
    iou_without_pointers: float
    pointers_cost: float
    pointers_cost_error: float


def held_out_clip(
    index: int, frames: int = 16, seed: int = HELD_OUT_SEED, photographs: tuple[str, ...] = HELD_OUT
) -> Clip:
    """One of the clips of the evaluation, made of photographs that were never trained on."""
    return make_clip(np.random.default_rng([seed, index]), photographs, np.arange(frames, dtype=np.float64))


def evaluate(
    config: Config,
    weights: Weights,
    backend: str | None = None,
    clips: int = 200,
    frames: int = 16,
    seed: int = HELD_OUT_SEED,
    batch: int = 10,
    show_progress: bool = False,
    collect: Collect | None = None,
    device: str | None = None,
    photographs: tuple[str, ...] = HELD_OUT,
) -> Report:
    """Track the targets of held-out clips, `batch` clips at a time; weights as `read_tracker` gives them.

    `collect` is handed the masks found in each batch of clips; `photographs` are those that the clips are made of,
    six or more. Raises `ModuleNotFoundError` without
    scikit-image, whose photographs the clips are made of.
    """
    if photographs == HELD_OUT:
        require("skimage", "a held-out clip")
    batches = [range(start, min(start + batch, clips)) for start in range(0, clips, batch)]

    def made() -> Iterator[Annotated]:
        for indices in counted(batches, "evaluating", show_progress):
            some = [held_out_clip(index, frames, seed, photographs) for index in indices]
            yield np.stack([clip.frames for clip in some], axis=1), np.stack([c.masks[:, 0] for c in some], axis=1)

    return _measure(config, weights, backend, device, made(), collect)


def evaluate_clip(
    config: Config,
    weights: Weights,
    clip: Clip,
    backend: str | None = None,
    collect: Collect | None = None,
    device: str | None = None,
) -> Report:
    """Track all objects of one annotated clip, as `read_annotated` gives it; the rest as in `evaluate`."""
    return _measure(config, weights, backend, device, [(clip.frames[:, None], clip.masks)], collect)


def _measure(
    config: Config,
    weights: Weights,
    backend: str | None,
    device: str | None,
    batches: Iterable[Annotated],
    collect: Collect | None,
) -> Report:
    tracker = Tracker(config, weights, backend, device=device)
    lesser = {
        "without memory": Tracker(config, weights, backend, forgetful=True, device=device),
        "without pointers": Tracker(without_pointers(config), weights, backend, device=device),
    }
    ious: dict[str, list[Any]] = {"found": [], "first": [], **{name: [] for name in lesser}}
    empty, shares, pointer_shares = [], [], []
    clips = length = 0
    for images, masks in batches:
        length, clips = len(images), clips + images.shape[1]
        prompts = masks[0].astype(np.float32)
        logits = []
        for step in tracker.follow_batch(images, prompts):
            if step.frame:
                logits.append(step.logits)
                share, pointer_share = attention_shares(tracker, step, masks)
                shares.append(share)
                pointer_shares.append(pointer_share)
        found = np.stack(logits) > 0
        if collect is not None:
            collect(found)
        ious["found"].append(iou(found, masks[1:]))
        for name, other in lesser.items():
            without = np.stack([step.logits > 0 for step in other.follow_batch(images, prompts) if step.frame])
            ious[name].append(iou(without, masks[1:]))
        ious["first"].append(iou(np.broadcast_to(masks[0], found.shape), masks[1:]))
        hidden = ~np.any(masks[1:], axis=(2, 3))
        empty.append(~np.any(found, axis=(2, 3))[hidden])
    targets = {name: mean(np.concatenate(parts, axis=1), 0) for name, parts in ious.items()}
    means = {name: float(mean(each, 0)) for name, each in targets.items()}
    costs = targets["found"] - targets["without pointers"]
    found_empty = np.concatenate(empty)
    return Report(
        clips,
        length,
        iou=means["found"],
        iou_without_memory=means["without memory"],
        iou_of_first_mask=means["first"],
        hidden_frames=len(found_empty),
        hidden_found_empty=float(mean(found_empty, 0)),
        attention_share=_by_layer(shares),
        pointer_share=_by_layer(pointer_shares),
        iou_without_pointers=means["without pointers"],
        pointers_cost=float(mean(costs, 0)),
        pointers_cost_error=standard_error(costs),
    )


def _by_layer(shares: list[Float[np.ndarray, "layers B"]]) -> tuple[float, ...]:
    return tuple(float(share) for share in mean(np.concatenate(shares, axis=1), 1))


def without_pointers(config: Config) -> Config:
    """The same tracker, whose frames see no object pointers."""
    bank = config.memory_bank.model_copy(update={"use_obj_ptrs_in_encoder": False})
    return config.model_copy(update={"memory_bank": bank})


def attention_share(
    tracker: Tracker, step: Step, masks: Bool[np.ndarray, "T B S S"]
) -> Float[np.ndarray, "layers B"]:
    """How much more than by area the target's queries look at the target's cells in the memories of a step.

    A cell is the target's where more than half of its pixels are. Of the attention on the cells of all
    memories, the share on the target's cells, averaged over its queries, is divided by these cells' share
    of all cells; object pointers have no area and are left out. NaN where the target has no cell.
    """
    return attention_shares(tracker, step, masks)[0]


def attention_shares(
    tracker: Tracker, step: Step, masks: Bool[np.ndarray, "T B S S"]
) -> tuple[Float[np.ndarray, "layers B"], Float[np.ndarray, "layers B"]]:
    """`attention_share`, and the share of all attention of the target's queries that is on object pointers.

    The latter is NaN only where the target has no cell in the frame itself.
    """
    if step.seen is None:
        raise ValueError(f"step is that of frame {step.frame}, which was prompted and looked at nothing")
    stride = tracker.config.backbone_stride
    cells = patches(masks[..., None].reshape(-1, *masks.shape[2:], 1), stride).mean(axis=-1) > 0.5
    cells = cells.reshape(*masks.shape[:2], -1)
    looking = cells[step.frame]
    remembered = np.concatenate([cells[frame] for frame in step.memory_frames], axis=1)
    network = tracker.config.memory_attention
    compared = [compared_steps(network, layer, "cross") for layer in range(network.num_layers)]
    traced = tracker.attention.trace(*step.seen, names=[name for pair in compared for name in pair])
    on_target = np.full((len(compared), len(looking)), np.nan)
    on_pointers = on_target.copy()
    for layer, (query, key) in enumerate(compared):
        rows = attention_rows(traced[query], traced[key], "all").mean(axis=1)
        for index in np.flatnonzero(looking.any(axis=1)):
            own = rows[index, looking[index]]
            on_cells, rest = np.split(own, [remembered.shape[1]], axis=1)
            on_pointers[layer, index] = rest.sum(axis=1).mean()
            if remembered[index].any():
                share = on_cells[:, remembered[index]].sum(axis=1) / on_cells.sum(axis=1)
                on_target[layer, index] = share.mean() / remembered[index].mean()
    return on_target, on_pointers
