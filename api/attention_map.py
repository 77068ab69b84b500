"""Where queries look: softmax rows, which fused kernels never show, from the traced queries and keys."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from .inputs import Inputs
from .reference.attention import softmax

if TYPE_CHECKING:
    from .model import Model

PARTS = {"self": "self_attn", "cross": "cross_attn_image"}


def attention_map(
    model: "Model",
    inputs: Inputs,
    *,
    layer: int,
    kind: Literal["self", "cross"] = "cross",
    queries: int | Sequence[int] | Literal["all"],
) -> np.ndarray:
    """The softmax rows [B,H,Q,M] of chosen queries of `model` on `inputs`; see `Model.attention_map`."""
    if kind not in PARTS:
        raise ValueError(f"kind is {kind!r}, expected 'self' or 'cross'")
    layers = model.config.memory_attention.num_layers
    if not -layers <= layer < layers:
        raise ValueError(f"layer is {layer}, expected {-layers} to {layers - 1}")
    prefix = f"layers.{layer % layers}.{PARTS[kind]}"
    steps = model.trace(*inputs, names=[f"{prefix}.{name}" for name in ("q", "k", "q_rotated", "k_rotated")])
    query = steps.get(f"{prefix}.q_rotated", steps[f"{prefix}.q"])
    key = steps.get(f"{prefix}.k_rotated", steps[f"{prefix}.k"])
    return attention_rows(query, key, queries)


def attention_rows(
    query: np.ndarray, key: np.ndarray, queries: int | Sequence[int] | Literal["all"]
) -> np.ndarray:
    """softmax(q kᵀ / √d) [B,H,Q,M] for the chosen rows of q [B,H,N,d] and all keys [B,H,M,d]."""
    working = np.promote_types(query.dtype, np.float32)
    chosen = query if isinstance(queries, str) else query[:, :, _indices(queries, query.shape[2])]
    scaled = chosen.astype(working) / np.sqrt(query.shape[-1], dtype=working)
    return softmax(scaled @ key.astype(working).swapaxes(-1, -2))


def _indices(queries: int | Sequence[int], count: int) -> np.ndarray:
    indices = np.atleast_1d(np.asarray(queries))
    if indices.ndim != 1 or indices.dtype.kind not in "iu" or indices.size == 0:
        raise TypeError(f"queries is {queries!r}, expected a token number, a list of them, or 'all'")
    if indices.min() < 0 or indices.max() >= count:
        raise ValueError(f"queries has token {indices.max()}, expected 0 to {count - 1}")
    return indices
