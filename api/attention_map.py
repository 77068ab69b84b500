"""Where queries look: softmax rows, which fused kernels never show, from the traced queries and keys."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from .configs.contract import is_whole_number
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
    if not is_whole_number(layer):
        raise TypeError(f"layer is {layer!r}, expected a whole number")
    if not -layers <= layer < layers:
        raise ValueError(f"layer is {layer}, expected {-layers} to {layers - 1}")
    query_step, key_step = compared_steps(model, layer, kind)
    steps = model.trace(*inputs, names=[query_step, key_step])
    return attention_rows(steps[query_step], steps[key_step], queries)


def compared_steps(model: "Model", layer: int, kind: str) -> tuple[str, str]:
    """The names of the traced queries and keys that a layer's attention compares: rotated ones if it rotates."""
    network = model.config.memory_attention
    attention = network.layer.self_attention if kind == "self" else network.layer.cross_attention
    prefix, turned = f"layers.{layer % network.num_layers}.{PARTS[kind]}", "_rotated" if attention.rotary else ""
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
