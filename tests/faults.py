"""Deliberately wrong steps: each replaces one piece of a function's source and is taken out again."""

import contextlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from memory_attention.accelerated.position import kept_rotary_table


@dataclass(frozen=True)
class Fault:
    """In `module`, of a package, the function at `path` has `old` replaced by `new`."""

    name: str
    module: str
    path: str
    old: dict[str, str]
    new: dict[str, str]


FAULTS = [
    Fault(
        "rotation by the wrong sign",
        "position",
        "rotate",
        {
            "reference": "a * cos - b * sin, a * sin + b * cos",
            "accelerated": "torch.view_as_complex(table)",
        },
        {
            "reference": "a * cos + b * sin, b * cos - a * sin",
            "accelerated": "torch.view_as_complex(table).conj()",
        },
    ),
    Fault(
        "pointers rotated",
        "attention",
        "RoPEAttention._encode",
        {"reference": "key[:, :, num_rotated:]], axis=2", "accelerated": 'record("k_rotated", turned)'},
        {
            "reference": "rotate(key[:, :, num_rotated:, None], angles[-1:])[..., 0, :]], axis=2",
            "accelerated": 'record("k_rotated", torch.cat([turned[:, :, :num_rotated],'
            " rotate(turned[:, :, num_rotated:, None], table[-1:])[..., 0, :]], dim=2))",
        },
    ),
    Fault(
        "x and y swapped",
        "position",
        "rotary_angles",
        {
            "reference": "[np.outer(x, frequencies), np.outer(y, frequencies)]",
            "accelerated": "[torch.outer(x, frequencies), torch.outer(y, frequencies)]",
        },
        {
            "reference": "[np.outer(y, frequencies), np.outer(x, frequencies)]",
            "accelerated": "[torch.outer(y, frequencies), torch.outer(x, frequencies)]",
        },
    ),
    Fault(
        "a missing 0.1",
        "memory_attention",
        "MemoryAttention.forward",
        {"reference": "0.1 * query_pos", "accelerated": "0.1 * query_pos"},
        {"reference": "query_pos", "accelerated": "query_pos"},
    ),
    Fault(
        "eps 1e-6",
        "norm",
        "layer_norm",
        {"reference": "eps: float = 1e-5", "accelerated": "eps: float = 1e-5"},
        {"reference": "eps: float = 1e-6", "accelerated": "eps: float = 1e-6"},
    ),
    Fault(
        "unbiased variance",
        "norm",
        "layer_norm",
        {
            "reference": "(centred**2).mean(axis=-1, keepdims=True)",
            "accelerated": "F.layer_norm(x, weight.shape, weight, bias, eps)",
        },
        {
            "reference": "(centred**2).sum(axis=-1, keepdims=True) / max(x.shape[-1] - 1, 1)",
            "accelerated": "(x - x.mean(-1, True)) / (x.var(-1, keepdim=True) + eps).sqrt() * weight + bias",
        },
    ),
    Fault(
        "norm after instead of before",
        "self_attention",
        "self_attention",
        {
            "reference": 'record("self_attention", x + attended)',
            "accelerated": 'record("self_attention", x + dropout(attended))',
        },
        {
            "reference": 'record("self_attention", norm(x + attended))',
            "accelerated": 'record("self_attention", norm(x + dropout(attended)))',
        },
    ),
]

FAULTS_OFF_THE_FAST_PATH = [
    Fault(
        "rotation by the wrong sign, traced",
        "position",
        "rotate",
        {"accelerated": "a * cos - b * sin, a * sin + b * cos"},
        {"accelerated": "a * cos + b * sin, b * cos - a * sin"},
    ),
    Fault(
        "pointers rotated, with gradients",
        "attention",
        "RoPEAttention._encode",
        {"accelerated": "key[:, :, num_rotated:]], dim=2"},
        {"accelerated": "rotate(key[:, :, num_rotated:, None], table[-1:])[..., 0, :]], dim=2"},
    ),
]
"""In code that inference does not reach, but gradients and traces do."""

FAULTS_IN_MEMORY_SPACE = [
    Fault(
        "columns turned as rows",
        "axial",
        "axial_tables",
        {"accelerated": "turned(1, places.width, 0), turned(places.height, 1, 1)"},
        {"accelerated": "turned(places.width, 1, 0), turned(1, places.height, 1)"},
    ),
    Fault(
        "the keys' bias forgotten",
        "axial",
        "parts_of_keys",
        {"accelerated": "torch.cat([weight, bias[:, None]], dim=1)"},
        {"accelerated": "torch.cat([weight, 0 * bias[:, None]], dim=1)"},
    ),
    Fault(
        "queries not rotated",
        "axial",
        "axial_attention",
        {"accelerated": "if places is not None:"},
        {"accelerated": "if False:"},
    ),
    Fault(
        "pointers at the last row",
        "axial",
        "axial_attention",
        {"accelerated": "unturned = key_parts[h] @ scaled.T"},
        {"accelerated": "unturned = turned[0][0] + turned[1][-1] if turned else key_parts[h] @ scaled.T"},
    ),
    Fault(
        "values in another order than keys",
        "axial",
        "_arranged",
        {"accelerated": "of_values.flatten(0, 2)"},
        {"accelerated": "of_values.transpose(0, 1).flatten(0, 2)"},
    ),
    Fault(
        "the last tile's columns for all",
        "axial",
        "_logits",
        {"accelerated": "u[tile.columns]"},
        {"accelerated": "u[-len(u[tile.columns]) :]"},
    ),
]
"""In code that only large problems reach by themselves."""


FAULTS_IN_GRADIENTS = [
    Fault(
        "a norm that scales tokens",
        "backward.norm",
        "layer_norm_backward",
        {"reference": " - normalised * along"},
        {"reference": ""},
    ),
    Fault(
        "turned on instead of back",
        "backward.position",
        "rotate_backward",
        {"reference": "-angles"},
        {"reference": "angles"},
    ),
    Fault(
        "weights that need not sum to one",
        "backward.attention",
        "softmax_backward",
        {"reference": " - (weights * d_out).sum(axis=-1, keepdims=True)"},
        {"reference": ""},
    ),
    Fault(
        "a missing root of d",
        "backward.attention",
        "scaled_dot_product_attention_backward",
        {"reference": "softmax_cache) * scale"},
        {"reference": "softmax_cache)"},
    ),
    Fault(
        "pointers turned back",
        "backward.attention",
        "_angles",
        {"reference": "np.zeros("},
        {"reference": "np.ones("},
    ),
    Fault(
        "a value without a say",
        "backward.self_attention",
        "self_attention_backward",
        {"reference": "d_q + d_k + d_v"},
        {"reference": "d_q + d_k"},
    ),
    Fault(
        "no way past the attention",
        "backward.cross_attention",
        "cross_attention_backward",
        {"reference": "return d_out + d_x"},
        {"reference": "return d_x"},
    ),
    Fault(
        "every activation taken for a relu",
        "backward.feed_forward",
        "feed_forward_backward",
        {"reference": "ACTIVATIONS_BACKWARD[activation]"},
        {"reference": "relu_backward"},
    ),
    Fault(
        "memories of the first layer alone",
        "backward.memory_attention",
        "memory_attention_backward",
        {"reference": "total(d_memory, d_keys)"},
        {"reference": "d_keys"},
    ),
    Fault(
        "a missing tenth, backwards",
        "backward.memory_attention",
        "memory_attention_backward",
        {"reference": "0.1 * d_x"},
        {"reference": "d_x"},
    ),
]
"""In the gradients by hand."""

FAULT_OF_FEW_DIGITS = Fault(
    "a norm to an eighth",
    "norm",
    "layer_norm",
    {"accelerated": "F.layer_norm(x, weight.shape, weight, bias, eps)"},
    {"accelerated": "(8 * F.layer_norm(x, weight.shape, weight, bias, eps)).round() / 8"},
)
"""Within the bound of every step in bfloat16, but four times as far from the truth as rounding is."""


@contextlib.contextmanager
def planted(fault: Fault, package: str) -> Iterator[None]:
    """Plant the fault in `reference` or `accelerated`, wherever its modules imported the function."""
    import importlib

    module = importlib.import_module(f"memory_attention.{package}.{fault.module}")
    owner, _, name = f"module.{fault.path}".rpartition(".")
    holder = module if owner == "module" else getattr(module, owner.removeprefix("module."))
    sound = inspect.unwrap(holder.__dict__[name])
    source = textwrap.dedent(inspect.getsource(sound))
    old, new = fault.old[package], fault.new[package]
    assert old in source, f"{fault.name}: {old!r} is no longer in {package}.{fault.module}.{fault.path}"
    # Not in the real namespace: `def` would replace the sound function there for good.
    namespace: dict[str, object] = {}
    exec("from __future__ import annotations\n" + source.replace(old, new), vars(module).copy(), namespace)
    wrong = namespace[name]

    holders = [holder]
    if holder is module:
        siblings = [m for n, m in list(_modules().items()) if n.startswith(f"memory_attention.{package}.")]
        holders = [m for m in siblings if vars(m).get(name) is holder.__dict__[name]]
    kept = [(each, each.__dict__[name]) for each in holders]
    for each, _ in kept:
        setattr(each, name, wrong)
    kept_rotary_table.cache_clear()
    try:
        yield
    finally:
        kept_rotary_table.cache_clear()
        for each, function in kept:
            setattr(each, name, function)


def _modules() -> dict:
    import sys

    return sys.modules
