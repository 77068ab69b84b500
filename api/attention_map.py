"""Where queries look: softmax rows, which fused kernels never show, from the traced queries and keys."""

import operator
from collections.abc import Sequence
from typing import Literal

import numpy as np

from .configs import MemoryAttentionConfig
from .reference.attention import softmax
from .rules.numbers import is_whole_number

PARTS = {"self": "self_attn", "cross": "cross_attn_image"}


def compared_steps(network: MemoryAttentionConfig, layer: int, kind: str) -> tuple[str, str]:
    """The names of the traced queries and keys that a layer's attention compares: rotated ones if it rotates.

    `layer` counts from the first, or negative from the last. Raises `TypeError` or `ValueError` for a layer or
    a `kind` (`"self"`, `"cross"`) that the network does not have.
    """
    if kind not in PARTS:
        raise ValueError(f"kind is {kind!r}, expected 'self' or 'cross'")
    layers = network.num_layers
    if not is_whole_number(layer):
        raise TypeError(f"layer is {layer!r}, expected a whole number")
    layer = operator.index(layer)
    if not -layers <= layer < layers:
        raise ValueError(f"layer is {layer}, expected {-layers} to {layers - 1}")
    attention = network.layer.self_attention if kind == "self" else network.layer.cross_attention
    prefix, turned = f"layers.{layer % layers}.{PARTS[kind]}", "_rotated" if attention.rotary else ""
    return f"{prefix}.q{turned}", f"{prefix}.k{turned}"


def attention_rows(
    query: np.ndarray, key: np.ndarray, queries: int | Sequence[int] | Literal["all"]
) -> np.ndarray:
    """softmax(q kᵀ / √d) [B,H,Q,M] for the chosen rows of q [B,H,N,d] and all keys [B,H,M,d]."""
    working = np.promote_types(query.dtype, np.float32)
    chosen = (
        query if isinstance(queries, str) and queries == "all" else query[:, :, _indices(queries, query.shape[2])]
    )
    scaled = chosen.astype(working) / np.sqrt(query.shape[-1], dtype=working)
    return softmax(scaled @ key.astype(working).swapaxes(-1, -2))


def _indices(queries: int | Sequence[int] | str, count: int) -> np.ndarray:
    indices = np.atleast_1d(np.asarray(queries))
    if indices.ndim != 1 or indices.dtype.kind not in "iu" or indices.size == 0:
        raise TypeError(f"queries is {queries!r}, expected a token number, a list of them, or 'all'")
    if indices.min() < 0 or indices.max() >= count:
        wrong = indices[(indices < 0) | (indices >= count)][0]
        raise ValueError(f"queries has token {wrong}, expected 0 to {count - 1}")
    return indices
