"""Object pointers that begin as what the memory attention knows already: memory tokens of the object."""

import numpy as np
from jaxtyping import Float

from ...configs import Config
from ...reference.position import sine_encoding_2d
from ...weights import Weights
from ..tracker import Tracker
from ..weights import read_tracker
from .data import make_clip
from .initial import initial_weights
from .photographs import TRAINING
from .recipe import Recipe

CLIPS = 24
AGES = 4
RIDGE = 0.1
LOUDNESS = 2.0


def first_weights(config: Config, recipe: Recipe) -> Weights:
    """The weights at step 0: drawn from the seed, or those of `start` with pointers that are set anew."""
    if not recipe.start:
        return initial_weights(config, recipe.seed)
    made_for, weights, _ = read_tracker(recipe.start)
    if made_for != config:
        raise ValueError(f"start is of config {made_for.name}, expected {config.name}, which is trained")
    set_pointers(config, weights, np.random.default_rng(recipe.seed))
    return weights


def set_pointers(config: Config, weights: Weights, rng: np.random.Generator) -> None:
    """Set, in place, how a pointer is made: its first token is the mean memory token of the object.

    That is predicted from the mean token under the mask by least squares, from a few training clips, and
    `LOUDNESS` times as far from the mean of all memory tokens. The last token, where there are more, is the mean
    memory token beside objects. Both stand at the mean place of all memories, at all ages.
    """
    channels, memory = config.memory_attention.d_model, config.memory_attention.memory_dim
    seen, inside, outside = looked_at(config, weights, rng)
    centre, typical = seen.mean(axis=0), inside.mean(axis=0)
    across = (seen - centre).T @ (seen - centre) / len(seen)
    along = (seen - centre).T @ (inside - typical) / len(seen)
    scale = np.trace(across) / channels
    prediction = np.linalg.solve(across + RIDGE * scale * np.eye(channels), along).T

    # x = relu(x) − relu(−x), for as many directions as there are pairs of units.
    left, strengths, right = np.linalg.svd(prediction, full_matrices=False)
    pairs = min(channels // 2, len(strengths))
    directions = right[:pairs]
    weights["obj_ptr_proj.0.weight"][: 2 * pairs] = np.concatenate([directions, -directions])
    weights["obj_ptr_proj.0.bias"][: 2 * pairs] = np.concatenate([-directions @ centre, directions @ centre])
    last = weights["obj_ptr_proj.1.weight"]
    last *= np.float32(0.1)
    outwards = LOUDNESS * left[:, :pairs] * strengths[:pairs]
    last[:memory, : 2 * pairs] = np.concatenate([outwards, -outwards], axis=1)
    middle = (typical + outside.mean(axis=0)) / 2
    bias = weights["obj_ptr_proj.1.bias"]
    bias[:] = 0
    bias[-memory:] = middle + LOUDNESS * (outside.mean(axis=0) - middle)
    bias[:memory] = middle + LOUDNESS * (typical - middle)
    if config.memory_bank.proj_tpos_enc_in_obj_ptrs:
        place = sine_encoding_2d(*config.grid, memory).reshape(-1, memory).mean(axis=0)
        weights["obj_ptr_tpos_proj.weight"] *= np.float32(0.1)
        weights["obj_ptr_tpos_proj.bias"][:] = place + weights["maskmem_tpos_enc"].reshape(-1, memory).mean(axis=0)


def looked_at(
    config: Config, weights: Weights, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "n C"], Float[np.ndarray, "n K"], Float[np.ndarray, "n K"]]:
    """Of the objects of a few training clips: mean token, and mean memory token inside and outside."""
    tracker = Tracker(config, weights, "reference")
    networks = tracker.networks
    seen, inside, outside = [], [], []
    for _ in range(CLIPS):
        clip = make_clip(rng, TRAINING, np.arange(0, 2 * AGES, AGES, dtype=np.float64), recolour=True)
        bank = tracker.new_bank()
        for frame, (image, truth) in enumerate(zip(clip.frames, clip.masks, strict=True)):
            masks = truth.astype(np.float32)
            encoded = tracker.encode(image[None], len(masks))
            step = tracker.step(bank, frame, encoded, None if frame else masks)
            tokens = encoded.features + weights["no_mem_embed"]
            if step.seen is not None:
                tokens = tracker.attention(*step.seen).swapaxes(0, 1).reshape(tokens.shape)
            memory = np.moveaxis(networks.encode_memory(encoded.features, masks), 1, -1)
            there = truth.mean(axis=(1, 2)) > 0.01
            seen.append(networks.mean_token(tokens, masks)[there])
            inside.append(networks.mean_token(memory, masks)[there])
            outside.append(networks.mean_token(memory, 1 - masks)[there])
    return np.concatenate(seen), np.concatenate(inside), np.concatenate(outside)
