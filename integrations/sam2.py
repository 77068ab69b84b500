"""SAM 2's own memory attention and that of its forks, known by SAM 2's class and parameter names."""

from typing import Any

import torch
from torch import nn

from ..accelerated import Attention, MemoryAttention, MemoryAttentionLayer, RoPEAttention
from ..accelerated.position import rotary_angles
from ..tolerances import bound
from .checks import check_width
from .norms import norms
from .twins import Part

KINDS: dict[str, type[nn.Module]] = {
    "MemoryAttention": MemoryAttention,
    "MemoryAttentionLayer": MemoryAttentionLayer,
    "RoPEAttention": RoPEAttention,
    "Attention": Attention,
}

# What SAM 2's classes keep, theirs and Ultralytics': whatever else is there would be lost on ours.
ATTENTION = {
    *("embedding_dim", "kv_in_dim", "internal_dim", "num_heads", "dropout_p"),
    *("q_proj", "k_proj", "v_proj", "out_proj"),
}
KNOWN = {
    "MemoryAttention": {"d_model", "layers", "num_layers", "norm", "pos_enc_at_input", "batch_first"},
    "MemoryAttentionLayer": {
        *("d_model", "dim_feedforward", "dropout_value", "self_attn", "cross_attn_image"),
        *("linear1", "linear2", "norm1", "norm2", "norm3", "dropout", "dropout1", "dropout2", "dropout3"),
        *("activation_str", "activation"),
        *("pos_enc_at_attn", "pos_enc_at_cross_attn_queries", "pos_enc_at_cross_attn_keys"),
    },
    "Attention": ATTENTION,
    "RoPEAttention": ATTENTION | {"compute_cis", "freqs_cis", "rope_k_repeat"},
}
# Ultralytics' attentions have no dropout, and its layers no name for their activation.
MAY_LACK = {"dropout_p", "activation_str", "dim_feedforward", "dropout_value"}
BUILT_IN = set(vars(nn.Module()))


def plan(module: nn.Module) -> dict[nn.Module, Part]:
    """Our class for each part of a memory attention with SAM 2's names.

    Raises `ValueError`, naming the part, for classes and settings that are not SAM 2's.
    """
    parts = {module: Part(_kind(module, "memory_attention", "MemoryAttention"))}
    for index, layer in enumerate(module.layers):
        where = f"memory_attention.layers.{index}"
        parts[layer] = Part(_kind(layer, where, "MemoryAttentionLayer"))
        for name in ("self_attn", "cross_attn_image"):
            attention = getattr(layer, name)
            kind = _kind(attention, f"{where}.{name}", "RoPEAttention", "Attention")
            _check_widths(attention, f"{where}.{name}", module.d_model)
            parts[attention] = Part(kind, _settings(attention, f"{where}.{name}"))
        hidden = layer.linear1.out_features
        check_width(f"{where}.linear1", layer.linear1, module.d_model, hidden, "d_model")
        if layer.linear2.out_features != module.d_model:
            check_width(f"{where}.linear2", layer.linear2, hidden, module.d_model, "d_model")
    return parts | norms(module)


def _kind(part: nn.Module, where: str, *expected: str) -> type[nn.Module]:
    """Our class of the same name, if the part has SAM 2's settings and no others."""
    name = type(part).__name__
    if name not in expected:
        raise ValueError(f"{where} is {type(part).__module__}.{name}, expected SAM 2's {' or '.join(expected)}")
    own = {*vars(part), *part._modules, *part._parameters, *part._buffers} - BUILT_IN - {"forward", "training"}
    own.discard("_compiled_call_impl")
    extra, missing = sorted(own - KNOWN[name]), sorted(KNOWN[name] - MAY_LACK - own)
    if extra:
        raise ValueError(f"{where} has {extra[0]}, which SAM 2's {name} has not: it may be another network")
    if missing:
        raise ValueError(f"{where} has no {missing[0]}, which SAM 2's {name} has")
    return KINDS[name]


def _check_widths(attention: Any, where: str, d_model: int) -> None:
    internal, memory = attention.internal_dim, attention.kv_in_dim
    if internal % attention.num_heads:
        raise ValueError(f"{where} has num_heads {attention.num_heads}, which does not divide {internal} channels")
    check_width(f"{where}.q_proj", attention.q_proj, d_model, internal, "d_model and internal_dim")
    check_width(f"{where}.k_proj", attention.k_proj, memory, internal, "kv_in_dim and internal_dim")
    check_width(f"{where}.v_proj", attention.v_proj, memory, internal, "kv_in_dim and internal_dim")
    check_width(f"{where}.out_proj", attention.out_proj, internal, d_model, "internal_dim and d_model")


def _settings(attention: Any, where: str) -> dict[str, Any]:
    """What ours keeps and SAM 2's does not, read from the table of rotations that SAM 2 keeps."""
    settings = {"kernel": None, "memory_space": None, "dropout_p": getattr(attention, "dropout_p", 0.0)}
    if type(attention).__name__ == "Attention":
        return settings
    theta = getattr(attention.compute_cis, "keywords", {}).get("theta")
    if theta is None:
        raise ValueError(f"{where}.compute_cis does not say its theta, expected functools.partial(…, theta=…)")
    table = attention.freqs_cis.detach().cpu()
    head_dim = attention.internal_dim // attention.num_heads
    height, width = _grid(table, head_dim)
    expected = rotary_angles(height, width, head_dim, theta)
    fits = table.shape == expected.shape
    turned = torch.polar(torch.ones_like(expected), expected)
    if not fits or float((table - turned).abs().max()) > bound("float32", max(height, width)):
        raise ValueError(f"{where}.freqs_cis is not the axial rotation of theta {theta} for {head_dim} channels")
    return settings | {"rope_theta": theta, "feat_sizes": (width, height)}


def _grid(table: torch.Tensor, head_dim: int) -> tuple[int, int]:
    """(h, w): only the tokens of the first row are not turned by their row."""
    if not table.is_complex() or table.ndim != 2 or table.shape[1] != head_dim // 2:
        return 1, len(table)
    width = int((table[:, head_dim // 4] == 1).sum()) or len(table)
    return len(table) // width, width
