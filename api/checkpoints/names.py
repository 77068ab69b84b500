"""Where in a checkpoint the memory attention and the bank lie, found from the names themselves."""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .tensors import dtype_and_shape

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


# Longer names and deeper mappings are nobody's, and would take time without end.
LONGEST_NAME, DEEPEST_MAPPING = 1000, 16


@dataclass(frozen=True, eq=False)
class Place:
    """Where a memory attention lies: in which mapping, and behind which prefix."""

    path: tuple[str, ...]
    prefix: str
    mapping: Mapping[Any, Any]

    @property
    def words(self) -> tuple[str, ...]:
        """What stands before its `layers`: a trainer's keys, prefixes, and its own name."""
        return (*self.path, *self.prefix.split(".")[:-1])

    def __str__(self) -> str:
        return ".".join(self.words)


@dataclass(frozen=True, eq=False)
class Found:
    """The parameters of a memory attention and of its bank, by SAM 2's names."""

    attention: dict[str, Any] = field(default_factory=dict)
    bank: dict[str, Any] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    """The names of the other tensors beside them, by which a whole model is known."""


def find_places(checkpoint: Mapping[Any, Any]) -> list[Place]:
    """Where in a checkpoint memory attentions lie.

    A trainer's mappings (`model`, `ema`, … beside `optimizer`, `epoch`) are gone through, and in each what
    stands before `layers.0.cross_attn_image.…` is a prefix, whatever the words.
    """
    places = []
    for path, mapping in _mappings(checkpoint):
        anchors = [ANCHOR.fullmatch(name) for name in _names(mapping).values()]
        prefixes = dict.fromkeys(anchor[1] for anchor in anchors if anchor)
        places += [Place(path, prefix, mapping) for prefix in prefixes]
    return places


def choose(places: list[Place], part: str | None) -> list[Place]:
    """Those of the places that are `part`, or lie below it; all of them if it is none."""
    exact = [place for place in places if str(place) == part]
    return exact or [place for place in places if part is None or f"{place}.".startswith(f"{part}.")]


def shortest_part(place: Place, places: list[Place]) -> str:
    """The fewest words that choose this place alone."""
    parts = [".".join(place.words[:length]) for length in range(1, len(place.words) + 1)]
    return next((part for part in parts if choose(places, part) == [place]), str(place))


def parameters_at(place: Place) -> Found:
    """The parameters of the memory attention at a place, and of the bank that belongs to it.

    The bank's prefix is the longest part of the memory attention's at which a parameter of a bank lies.
    Raises `ValueError` for a parameter that is there twice, under two names.
    """
    names = _names(place.mapping)
    bank_prefix = _bank_prefix(place.prefix, set(names.values()))
    # Where the bank lies at the same place, only the layers and the last norm are the memory attention's.
    at_bank = place.prefix == bank_prefix
    own = (place.prefix + "layers.", place.prefix + "norm.") if at_bank else (place.prefix,)
    found = Found()
    for key, name in names.items():
        value = place.mapping[key]
        if name.startswith(own):
            _put(found.attention, name.removeprefix(place.prefix), value, key)
        elif name.startswith(bank_prefix) and name.removeprefix(bank_prefix) in BANK:
            _put(found.bank, name.removeprefix(bank_prefix), value, key)
        elif (described := dtype_and_shape(value)) and described[1]:
            # What counts steps (`n_averaged`) has no shape, and is no part of a model.
            found.others.append(name)
    return found


def names_of_tensors(checkpoint: Mapping[Any, Any]) -> list[str]:
    """The names in a checkpoint, for a message: those of tensors, else all with what they are."""
    held = [
        (".".join([*path, str(name)[:LONGEST_NAME]]), value)
        for path, mapping in _mappings(checkpoint)
        for name, value in mapping.items()
    ]
    tensors = [name for name, value in held if dtype_and_shape(value)]
    return tensors or [f"{name} ({type(value).__name__})" for name, value in held]


def _mappings(checkpoint: Mapping[Any, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    """The mapping and all mappings in it, each once, the outer ones first, with the way to each."""
    waiting: deque[tuple[tuple[str, ...], Mapping[Any, Any]]] = deque([((), checkpoint)])
    seen = {id(checkpoint)}
    while waiting:
        path, mapping = waiting.popleft()
        yield path, mapping
        for name, value in mapping.items():
            if isinstance(value, Mapping) and id(value) not in seen and len(path) < DEEPEST_MAPPING:
                seen.add(id(value))
                waiting.append(((*path, str(name)[:LONGEST_NAME]), value))


def _names(mapping: Mapping[Any, Any]) -> dict[Any, str]:
    """The names of a mapping's values in SAM 2's words.

    A name that holds a mapping again is no parameter: an optimizer keeps its numbers so.
    """
    short = [
        key for key, value in mapping.items() if not isinstance(value, Mapping) and len(str(key)) <= LONGEST_NAME
    ]
    return {key: _words_of_sam2(str(key)) for key in short}


def _words_of_sam2(name: str) -> str:
    return ".".join(WORDS.get(word, word) for word in name.split(".") if word not in WRAPPERS)


def _put(parameters: dict[str, Any], name: str, value: Any, key: Any) -> None:
    if name in parameters:
        raise ValueError(f"the parameter {name[:80]} is there twice, once as {str(key)[:120]!r}")
    parameters[name] = value


def _bank_prefix(prefix: str, names: set[str]) -> str:
    words = prefix.split(".")[:-1]
    for length in range(len(words), -1, -1):
        start = "".join(f"{word}." for word in words[:length])
        if any(start + own in names for own in BANK):
            return start
    return ""
