"""The weights before training: drawn from a seed, and arranged so that memory is addressed by appearance."""

import numpy as np
from jaxtyping import Bool, Float

from ...configs import Config
from ...configs.schema import AttentionConfig
from ...reference.position import rotary_angles
from ...weights import PREFIX, Weights, draw_weights
from .. import numpy_ops
from ..network import FINE, Networks, network_shapes
from .data import SIZE, make_clip
from .photographs import TRAINING

SHARPNESS = 2.0
LOUDNESS = 2.0
OBJECT = 2.0
"""What the mask's channels of a memory hold where the object is; beside it, its negative."""
POINTER_SIGNS = np.array([1, 1, -1, -1], np.float32)
"""Of a pointer's mask channels, `LOUDNESS` times as loud; in a memory all of them have one sign."""
POINTED = 96.0
"""Times `LOUDNESS` × `OBJECT` / √(head's width): what pointers, and no memory, get on the last layer's logits.

So much that in training they keep all of its attention.
"""
HARDLY_TURNED = 0.11
"""Radians a cell: channels that the rotary encoding turns by no more keep what they hold from cell to cell."""
RESIDUAL = (
    "image_encoder.fine.1",
    "image_encoder.coarse.0",
    "image_encoder.coarse.1",
    "mask_decoder.refine.0",
    "mask_decoder.refine.1",
    "mask_decoder.mask",
    "memory_encoder.fuser",
)
"""Layers that begin small, so that what they are added to passes."""

MASK_CHANNELS = len(POINTER_SIGNS)
CLIPS_TO_LOOK_AT = 16


def check_trainable(config: Config) -> None:
    """Raise `ValueError` for a config that does not fit the clips of training, or the weights it begins with."""
    network, bank = config.memory_attention, config.memory_bank
    most = min(network.d_model, network.layer.cross_attention.internal_dim)
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
    training frames: at first a token looks at the memory tokens that look like itself, and at pointers to
    objects that do, in the last of several layers at pointers alone. Training starts from label propagation,
    which it has only to refine. Raises `ValueError` for a config that does not fit.
    """
    check_trainable(config)
    rng = np.random.default_rng(seed)
    weights = draw_weights(config, seed)
    for name, shape in network_shapes(config).items():
        if name.endswith("weight") and len(shape) > 1:
            weights[name] = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        else:
            weights[name] = np.full(shape, name.endswith("weight"), np.float32)
    for name in RESIDUAL:
        weights[f"{name}.weight"] *= np.float32(0.3)
    # At first a pixel is the object's with a probability of 6 %, about what objects cover.
    weights["mask_decoder.mask.bias"] -= np.float32(2.7)
    address_by_appearance(config, weights, rng)
    return weights


def looks_at_pointers(config: Config, layer: int) -> bool:
    """Whether a layer is the last of several, which looks at pointers alone."""
    return 0 < layer == config.memory_attention.num_layers - 1


def settled(config: Config) -> frozenset[str]:
    """The parameters that stay as they begin: the projections by which the last of several layers finds pointers.

    Their gradients are next to nothing where pointers get all, and Muon's steps are as long along those. (So are
    those of the norm before the queries, which is left to drift: the mark that they look for is not in what it
    gives, but in their bias.)
    """
    last = config.memory_attention.num_layers - 1
    if not looks_at_pointers(config, last):
        return frozenset()
    attention = f"{PREFIX}layers.{last}.cross_attn_image"
    return frozenset(
        f"{attention}.{projection}.{kind}" for projection in ("q_proj", "k_proj") for kind in ("weight", "bias")
    )


def address_by_appearance(config: Config, weights: Weights, rng: np.random.Generator) -> None:
    """Set, in place, memories to whitened features beside the mask, and queries and keys to the former.

    They stand in the channels that are hardly turned, so that a pointer, which is not turned, is found from
    more places. The last of several layers looks at pointers, whatever a query looks like: the others found what
    resembles the object, and pointers say which object it is.
    """
    channels, memory = config.memory_attention.d_model, config.memory_attention.memory_dim
    seen = memory - MASK_CHANNELS
    clips = [make_clip(rng, TRAINING, np.zeros(1), recolour=True) for _ in range(CLIPS_TO_LOOK_AT)]
    networks = Networks(config, weights, numpy_ops)
    _, features = networks.encode_image(np.concatenate([clip.frames for clip in clips]))
    mean, whitening = whitener(features.reshape(-1, channels), seen)
    point_by_appearance(config, weights, mean, whitening)

    # Channels of a memory: first what is seen, then the mask.
    encoder = "memory_encoder"
    weights[f"{encoder}.pix_feat_proj.weight"] = np.zeros((channels, channels), np.float32)
    weights[f"{encoder}.pix_feat_proj.weight"][:seen] = whitening
    weights[f"{encoder}.pix_feat_proj.bias"][:seen] = -whitening @ mean
    weights[f"{encoder}.mask_downsampler.weight"][:seen] = 0
    weights[f"{encoder}.mask_downsampler.weight"][seen:memory] = OBJECT / config.backbone_stride**2
    weights[f"{encoder}.out_proj.weight"] = np.eye(memory, channels, dtype=np.float32)
    still = hardly_turned(config.memory_attention.layer.cross_attention, seen + 1)
    for layer in range(config.memory_attention.num_layers):
        attention = f"{PREFIX}layers.{layer}.cross_attn_image"
        drawn = np.zeros((len(still), seen + 1), np.float32)
        drawn[still] = orthonormal(rng, int(still.sum()), seen + 1)
        basis, loud = drawn[:, :seen], drawn[:, seen:]
        weights[f"{attention}.q_proj.weight"] = np.float32(SHARPNESS) * basis @ whitening
        weights[f"{attention}.q_proj.bias"] = -np.float32(SHARPNESS) * basis @ (whitening @ mean)
        weights[f"{attention}.k_proj.weight"] = np.pad(basis, [(0, 0), (0, MASK_CHANNELS)])
        weights[f"{attention}.k_proj.bias"][:] = 0
        if looks_at_pointers(config, layer):
            weights[f"{attention}.q_proj.bias"] += np.float32(POINTED) * loud[:, 0]
            weights[f"{attention}.k_proj.weight"][:, seen:] = loud * POINTER_SIGNS / np.float32(MASK_CHANNELS)
        for branch in ("self_attn.out_proj", "cross_attn_image.out_proj", "linear2"):
            weights[f"{PREFIX}layers.{layer}.{branch}.weight"] *= np.float32(0.3)


def point_by_appearance(
    config: Config, weights: Weights, mean: Float[np.ndarray, " C"], whitening: Float[np.ndarray, "seen C"]
) -> None:
    """Set, in place, a pointer's first token to what a memory token of the object holds, louder and marked.

    A pointer is one among hundreds of tokens: made by drawn weights it is looked at by none, and learns nothing.
    """
    memory, seen = config.memory_attention.memory_dim, len(whitening)
    components = whitening[: config.memory_attention.d_model // 2]
    # x = relu(x) − relu(−x)
    both = np.concatenate([components, -components])
    weights["obj_ptr_proj.0.weight"][: len(both)] = both
    shift = components @ mean
    weights["obj_ptr_proj.0.bias"][: len(both)] = np.concatenate([-shift, shift])
    last = weights["obj_ptr_proj.1.weight"]
    last *= np.float32(0.3)
    last[:memory] = 0
    loud = LOUDNESS * np.eye(len(components), dtype=np.float32)
    last[: len(components), : len(both)] = np.concatenate([loud, -loud], axis=1)
    weights["obj_ptr_proj.1.bias"][:] = 0
    weights["obj_ptr_proj.1.bias"][seen:memory] = LOUDNESS * OBJECT * POINTER_SIGNS
    if config.memory_bank.proj_tpos_enc_in_obj_ptrs:
        weights["obj_ptr_tpos_proj.weight"] *= np.float32(0.1)


def hardly_turned(attention: AttentionConfig, least: int) -> Bool[np.ndarray, " channels"]:
    """Which channels of queries and keys the rotary encoding hardly turns; the stillest `least` in any case."""
    if not attention.rotary:
        return np.ones(attention.internal_dim, bool)
    # The last of the 2 × 2 tokens is a step to the right and a step down from the first.
    step = rotary_angles(2, 2, attention.head_dim, attention.rope_theta)[-1]
    turns = np.tile(np.repeat(step, 2), attention.num_heads)
    return turns <= max(HARDLY_TURNED, np.sort(turns)[least - 1])


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
