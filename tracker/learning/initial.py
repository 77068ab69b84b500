"""The weights before training: drawn from a seed, and arranged so that memory is addressed by appearance."""

import numpy as np
from jaxtyping import Float

from ...configs import Config
from ...weights import PREFIX, Weights, draw_weights
from .. import numpy_ops
from ..network import FINE, Networks, network_shapes
from .data import SIZE, make_clip
from .photographs import TRAINING

SHARPNESS = 2.0
MASK_CHANNELS = 4
CLIPS_TO_LOOK_AT = 16


def check_trainable(config: Config) -> None:
    """Raise `ValueError` for a config that does not fit the clips of training, or the weights it begins with."""
    network, bank = config.memory_attention, config.memory_bank
    most = min(network.d_model, network.layer.cross_attention.internal_dim + MASK_CHANNELS)
    expected = {
        "image_size": (config.image_size, config.image_size == SIZE, f"{SIZE}, the side of the clips"),
        "backbone_stride": (
            config.backbone_stride,
            config.backbone_stride % FINE == 0,
            f"a multiple of {FINE}, the cells of a token each way",
        ),
        "kv_in_dim": (
            network.memory_dim,
            MASK_CHANNELS < network.memory_dim <= most and network.memory_dim % 4 == 0,
            f"a multiple of 4, from {MASK_CHANNELS + 4} to {most}, {MASK_CHANNELS} of them for the mask",
        ),
        "batch_first": (network.batch_first, network.batch_first, "True, as SAM 2 has it"),
        "rope_k_repeat": (
            network.layer.cross_attention.rope_k_repeat,
            network.layer.cross_attention.rope_k_repeat or not network.layer.cross_attention.rotary,
            "True, as a frame looks at several memories",
        ),
        "num_maskmem": (bank.num_maskmem, bank.num_maskmem > 0, "1 or more, as a tracker remembers"),
        "directly_add_no_mem_embed": (
            bank.directly_add_no_mem_embed,
            bank.directly_add_no_mem_embed,
            "True, as a prompted frame looks at no memory",
        ),
        "use_memory_selection": (
            bank.use_memory_selection,
            not bank.use_memory_selection,
            "False, as the tracker scores no frames",
        ),
    }
    for name, (value, fits, words) in expected.items():
        if not fits:
            raise ValueError(f"config {config.name} cannot be trained: {name} is {value}, expected {words}")


def initial_weights(config: Config, seed: int = 0) -> Weights:
    """Draw the whole tracker's parameters (float32).

    Layers are normal with variance 2 / inputs (He et al., 2015, arXiv:1502.01852), those that end a
    residual branch smaller. Then queries and keys are set to the same whitened appearance, seen on a few
    training frames: at first a token looks at the memory tokens that look like itself. Training starts from
    label propagation, which it has only to refine. Raises `ValueError` for a config that does not fit.
    """
    check_trainable(config)
    rng = np.random.default_rng(seed)
    weights = draw_weights(config, seed)
    for name, shape in network_shapes(config).items():
        if name.endswith("weight") and len(shape) > 1:
            weights[name] = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        else:
            weights[name] = np.full(shape, name.endswith("weight"), np.float32)
    for name in ("image_encoder.coarse", "mask_decoder.refine", "mask_decoder.mask", "memory_encoder.fuser"):
        weights[f"{name}.weight"] *= np.float32(0.3)
    # At first a pixel is the object's with a probability of 6 %, about what objects cover.
    weights["mask_decoder.mask.bias"] -= np.float32(2.7)
    address_by_appearance(config, weights, rng)
    return weights


def address_by_appearance(config: Config, weights: Weights, rng: np.random.Generator) -> None:
    """Set, in place, memories to whitened features beside the mask, and queries and keys to the former."""
    channels, memory = config.memory_attention.d_model, config.memory_attention.memory_dim
    seen = memory - MASK_CHANNELS
    clips = [make_clip(rng, TRAINING, np.zeros(1), recolour=True) for _ in range(CLIPS_TO_LOOK_AT)]
    networks = Networks(config, weights, numpy_ops)
    _, features = networks.encode_image(np.concatenate([clip.frames for clip in clips]))
    mean, whitening = whitener(features.reshape(-1, channels), seen)

    # Channels of a memory: first what is seen, then the mask.
    encoder = "memory_encoder"
    weights[f"{encoder}.pix_feat_proj.weight"] = np.zeros((channels, channels), np.float32)
    weights[f"{encoder}.pix_feat_proj.weight"][:seen] = whitening
    weights[f"{encoder}.pix_feat_proj.bias"][:seen] = -whitening @ mean
    weights[f"{encoder}.mask_downsampler.weight"][:seen] = 0
    weights[f"{encoder}.mask_downsampler.weight"][seen:memory] = 2 / config.backbone_stride**2
    weights[f"{encoder}.out_proj.weight"] = np.eye(memory, channels, dtype=np.float32)
    for layer in range(config.memory_attention.num_layers):
        attention = f"{PREFIX}layers.{layer}.cross_attn_image"
        basis = orthonormal(rng, weights[f"{attention}.k_proj.weight"].shape[0], seen)
        weights[f"{attention}.q_proj.weight"] = np.float32(SHARPNESS) * basis @ whitening
        weights[f"{attention}.q_proj.bias"] = -np.float32(SHARPNESS) * basis @ (whitening @ mean)
        weights[f"{attention}.k_proj.weight"] = np.pad(basis, [(0, 0), (0, MASK_CHANNELS)])
        weights[f"{attention}.k_proj.bias"][:] = 0
        for branch in ("self_attn.out_proj", "cross_attn_image.out_proj", "linear2"):
            weights[f"{PREFIX}layers.{layer}.{branch}.weight"] *= np.float32(0.3)


def whitener(
    features: Float[np.ndarray, "n C"], count: int
) -> tuple[Float[np.ndarray, " C"], Float[np.ndarray, "count C"]]:
    """The mean, and the projection to the `count` main components with variance 1 (float32)."""
    mean = features.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov((features - mean).T.astype(np.float64)))
    main = slice(None, -count - 1, -1)
    return mean, (directions[:, main] / np.sqrt(variances[main])).T.astype(np.float32)


def orthonormal(rng: np.random.Generator, rows: int, columns: int) -> Float[np.ndarray, "rows columns"]:
    """Draw a matrix whose columns are orthonormal (float32)."""
    return np.linalg.qr(rng.normal(size=(rows, columns)))[0].astype(np.float32)
