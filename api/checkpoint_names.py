"""Where in a checkpoint the memory attention and the bank lie, found from the names themselves."""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .checkpoint_tensors import dtype_and_shape

# Hugging Face's words for SAM 2's, and what PyTorch's wrappers put between the words of a name.
WORDS = {
    "o_proj": "out_proj",
    "layer_norm1": "norm1",
    "layer_norm2": "norm2",
    "layer_norm3": "norm3",
    "layer_norm": "norm",
    "memory_temporal_positional_encoding": "maskmem_tpos_enc",
    "no_memory_embedding": "no_mem_embed",
    "no_memory_positional_encoding": "no_mem_pos_enc",
    "temporal_positional_encoding_projection_layer": "obj_ptr_tpos_proj",
    "occlusion_spatial_embedding_parameter": "no_obj_embed_spatial",
}
WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}

BANK = (
    "maskmem_tpos_enc",
    "no_mem_embed",
    "no_mem_pos_enc",
    "no_obj_embed_spatial",
    "obj_ptr_tpos_proj.weight",
    "obj_ptr_tpos_proj.bias",
)

# Only a memory attention has these names: SAM 3's detector has `cross_attn_image.in_proj_weight`.
ANCHOR = re.compile(r"(|.*\.)layers\.\d+\.cross_attn_image\.[qkv]_proj\.(?:weight|bias)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Found:
    """A memory attention in a checkpoint, and the bank that belongs to it, by SAM 2's names."""

    place: str
    """What stands before the memory attention's `layers`: wrappers, prefixes, and its own name."""
    attention: dict[str, Any] = field(default_factory=dict)
    bank: dict[str, Any] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    """The names of the other tensors beside it, by which a whole model is known."""


def find_memory_attentions(checkpoint: Mapping[Any, Any]) -> list[Found]:
    """Every memory attention of a checkpoint.

    A trainer's mappings (`model`, `ema`, … beside `optimizer`, `epoch`) are gone through at any depth.
    In each, what stands before `layers.0.cross_attn_image.…` is the memory attention's prefix,
    whatever the words; the bank's is the longest part of that prefix at which a parameter of a bank lies.
    """
    found = []
    for path, mapping in _mappings(checkpoint):
        # A name that holds a mapping again is no parameter: an optimizer keeps its numbers so.
        names = {name: _words_of_sam2(str(name)) for name, v in mapping.items() if not isinstance(v, Mapping)}
        anchors = [ANCHOR.fullmatch(name) for name in names.values()]
        prefixes = dict.fromkeys(anchor[1] for anchor in anchors if anchor)
        found += [_found_at(path, prefix, names, mapping) for prefix in prefixes]
    return found


def choose(found: list[Found], part: str | None) -> list[Found]:
    """Those of the memory attentions that lie at `part`, or below it; all of them if it is none."""
    exact = [one for one in found if one.place == part]
    return exact or [one for one in found if part is None or f"{one.place}.".startswith(f"{part}.")]


def parts(found: list[Found]) -> list[str]:
    """For each memory attention the shortest part that chooses it alone."""
    return [_shortest(one, found) for one in found]


def first_names(checkpoint: Mapping[Any, Any]) -> list[str]:
    """Names of a checkpoint for a message: those of tensors, else all."""
    names = [
        (".".join([*path, str(name)]), value)
        for path, mapping in _mappings(checkpoint)
        for name, value in mapping.items()
    ]
    return [name for name, value in names if dtype_and_shape(value)] or [
        f"{name} ({type(v).__name__})" for name, v in names
    ]


def _mappings(checkpoint: Mapping[Any, Any]) -> Iterator[tuple[list[str], Mapping[Any, Any]]]:
    """The mapping and all mappings in it, each once, the outer ones first, with the way to each."""
    waiting: deque[tuple[list[str], Mapping[Any, Any]]] = deque([([], checkpoint)])
    seen = {id(checkpoint)}
    while waiting:
        path, mapping = waiting.popleft()
        yield path, mapping
        for name, value in mapping.items():
            if isinstance(value, Mapping) and id(value) not in seen:
                seen.add(id(value))
                waiting.append(([*path, str(name)], value))


def _words_of_sam2(name: str) -> str:
    return ".".join(WORDS.get(word, word) for word in name.split(".") if word not in WRAPPERS)


def _found_at(path: list[str], prefix: str, names: dict[Any, str], values: Mapping[Any, Any]) -> Found:
    bank_prefix = _bank_prefix(prefix, set(names.values()))
    # Where the bank lies at the same place, only the layers and the last norm are the memory attention's.
    own = (prefix + "layers.", prefix + "norm.") if prefix == bank_prefix else (prefix,)
    found = Found(".".join([*path, *prefix.split(".")[:-1]]))
    for key, name in names.items():
        if name.startswith(own):
            _put(found.attention, name.removeprefix(prefix), values[key], key)
        elif name.startswith(bank_prefix) and name.removeprefix(bank_prefix) in BANK:
            _put(found.bank, name.removeprefix(bank_prefix), values[key], key)
        elif (described := dtype_and_shape(values[key])) and described[1]:
            # What counts steps (`n_averaged`) has no shape, and is no part of a model.
            found.others.append(name)
    return found


def _put(parameters: dict[str, Any], name: str, value: Any, key: str) -> None:
    if name in parameters:
        raise ValueError(f"the parameter {name} is there twice, once as {key[:120]}")
    parameters[name] = value


def _bank_prefix(prefix: str, names: set[str]) -> str:
    words = prefix.split(".")[:-1]
    for length in range(len(words), -1, -1):
        start = "".join(f"{word}." for word in words[:length])
        if any(start + own in names for own in BANK):
            return start
    return ""


def _shortest(one: Found, found: list[Found]) -> str:
    words = one.place.split(".")
    for length in range(1, len(words) + 1):
        part = ".".join(words[:length])
        if choose(found, part) == [one]:
            return part
    return one.place
