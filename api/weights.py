"""Parameters by SAM 2's names: drawn from a seed, or read from a checkpoint without running its code."""

import math
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoints.files import one_line, read_checkpoint
from .checkpoints.names import Found, choose, find_places, names_of_tensors, parameters_at, shortest_part
from .checkpoints.tensors import as_array, dtype_and_shape
from .configs import Config, LayerConfig, available_configs, bank_parameter_shapes, load_config
from .configs.schema import AttentionConfig
from .files import check_size

Weights = dict[str, np.ndarray]

PREFIX = "memory_attention."


def parameter_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Every parameter of the memory attention, by SAM 2's name, with its shape."""
    network = config.memory_attention
    shapes: dict[str, tuple[int, ...]] = {}
    for index in range(network.num_layers):
        for name, shape in _layer_shapes(network.layer).items():
            shapes[f"{PREFIX}layers.{index}.{name}"] = shape
    shapes |= _affine(f"{PREFIX}norm", network.d_model)
    return shapes


def _layer_shapes(layer: LayerConfig) -> dict[str, tuple[int, ...]]:
    hidden = layer.dim_feedforward // 2 if layer.activation == "glu" else layer.dim_feedforward
    return (
        _attention_shapes("self_attn", layer.self_attention)
        | _attention_shapes("cross_attn_image", layer.cross_attention)
        | _linear("linear1", layer.d_model, layer.dim_feedforward)
        | _linear("linear2", hidden, layer.d_model)
        | _affine("norm1", layer.d_model)
        | _affine("norm2", layer.d_model)
        | _affine("norm3", layer.d_model)
    )


def _attention_shapes(name: str, attention: AttentionConfig) -> dict[str, tuple[int, ...]]:
    return (
        _linear(f"{name}.q_proj", attention.embedding_dim, attention.internal_dim)
        | _linear(f"{name}.k_proj", attention.key_dim, attention.internal_dim)
        | _linear(f"{name}.v_proj", attention.key_dim, attention.internal_dim)
        | _linear(f"{name}.out_proj", attention.internal_dim, attention.embedding_dim)
    )


def _linear(name: str, channels_in: int, channels_out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (channels_out, channels_in), f"{name}.bias": (channels_out,)}


def _affine(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def draw_weights(config: Config, seed: int = 0) -> Weights:
    """Draw all parameters (float32) from a seed, the same for every backend.

    Matrices are normal with variance 1 / (channels in), which keeps logits near 1 so that attention has
    contrast; norms are 1 and 0; biases and the bank's embeddings are normal with standard deviation 0.02.
    """
    shapes = parameter_shapes(config) | bank_parameter_shapes(config)
    check_size(4 * sum(math.prod(shape) for shape in shapes.values()), f"config {config.name!r}")
    rng = np.random.default_rng(seed)
    weights: Weights = {}
    for name, shape in shapes.items():
        if ".norm" in name:
            drawn = np.full(shape, float(name.endswith("weight")))
        else:
            is_matrix = name.endswith("weight")
            drawn = rng.normal(0, shape[1] ** -0.5 if is_matrix else 0.02, shape)
        weights[name] = drawn.astype(np.float32)
    return weights


def read_weights(
    source: str | os.PathLike[str] | Mapping[str, Any], config: Config, part: str | None = None
) -> Weights:
    """Read the parameters that `config` asks for from a checkpoint, or from a mapping of its names.

    Files, told apart by what is in them: PyTorch's, `.safetensors`, `.npz`, an index of shards
    (`model.safetensors.index.json`), or the folder that holds one. Names: SAM 2's, with or without
    `memory_attention.`, SAM 3's, or Hugging Face's. A trainer's mappings (`model`, `state_dict`, `ema`, …)
    and whatever stands before every name (`module.`, `_orig_mod.`, `tracker.`, …) are taken off. Where a
    checkpoint holds several memory attentions, `part` says which: the words that stand before its names
    (`"ema"`); in a path it may follow two colons, `"trained.pt::ema"`.

    Other parameters of a whole model are passed over. The bank's may be missing only where there is
    nothing but a memory attention. Raises `FileNotFoundError`, or `ValueError` for a file that is no
    checkpoint or would run code, and for a parameter that is missing, extra (weights of another version
    of SAM), misshapen, or not finite, naming it. Arrays are copies; bfloat16 is read as float32.
    """
    if not isinstance(source, str | os.PathLike | Mapping):
        raise TypeError(f"weights is {type(source).__name__}, expected a path, a mapping of names, or none")
    if isinstance(source, Mapping):
        where, checkpoint = "weights", source
    else:
        path, part = _split_part(os.fspath(source), part)
        where, checkpoint = path, read_checkpoint(Path(path))
    try:
        place, found = _the_one(checkpoint, part)
        parameters = {PREFIX + name: value for name, value in found.attention.items()} | found.bank
        required = _required(found, parameters, config, place)
        return {name: as_array(parameters[name], name, shape) for name, shape in required.items()}
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _split_part(path: str, part: str | None) -> tuple[str, str | None]:
    """A path and the part that follows two colons, unless a file of the whole name is there."""
    if part is not None or "::" not in path or Path(path).exists():
        return path, part
    file, _, part = path.rpartition("::")
    return file, part


def _the_one(checkpoint: Any, part: str | None) -> tuple[str, Found]:
    """The memory attention that is wanted, and where it lies; nothing if there is none."""
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"holds {type(checkpoint).__name__}, expected a mapping of names to tensors")
    places = find_places(checkpoint)
    chosen = choose(places, part)
    if not places:
        return "", Found(others=names_of_tensors(checkpoint))
    if len(chosen) == 1:
        return str(chosen[0]), parameters_at(chosen[0])
    offers = [one_line(shortest_part(place, places), 60) for place in (chosen or places)[:4]]
    listed = ", ".join(map(repr, offers))
    if not chosen:
        raise ValueError(f"part is {one_line(str(part), 60)!r}, expected one of {listed}")
    raise ValueError(
        f"holds {len(chosen)} memory attentions, at {listed}: choose one by read_weights(…, part={offers[0]!r}) "
        f"or by two colons after a path, 'file.pt::{offers[0]}'"
    )


def _required(
    found: Found, parameters: Mapping[str, Any], config: Config, place: str
) -> dict[str, tuple[int, ...]]:
    """The parameters to read, with their shapes. Raises `ValueError` for what is missing or extra."""
    is_whole_model = found.bank or found.others
    required = parameter_shapes(config) | (bank_parameter_shapes(config) if is_whole_model else {})
    missing = [name for name in required if name not in parameters]
    extra = [name for name in parameters if name not in required]
    for kind, names in (("missing", missing), ("extra", extra)):
        if names:
            seen = _seen(parameters, place) if parameters else _seen_instead(found.others)
            raise ValueError(f"{_listed(kind, names)} for config {config.name!r}; {seen}")
    for name in found.others:
        if "spatial_perceiver." in name:
            raise ValueError(f"{one_line(name, 60)} is of EdgeTAM, whose memories this network does not make")
    return required


def _listed(kind: str, names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{kind} parameter {one_line(names[0], 80)}{more}"


def _seen_instead(names: list[str]) -> str:
    found = ", ".join(one_line(name, 50) for name in names[:3]) or "no names"
    return f"looked for names like layers.0.cross_attn_image.q_proj.weight, found {found}"


def _seen(parameters: Mapping[str, Any], place: str) -> str:
    """Where the parameters were found, and which configs ask for them."""
    described = {name: dtype_and_shape(value) for name, value in parameters.items()}
    shapes = {name: found[1] for name, found in described.items() if found}
    fitting = ", ".join([name for name in available_configs() if shapes in _shapes_of(name)][:5])
    fits = f"these weights fit the configs {fitting}" if fitting else "no bundled config fits these weights"
    return f"read at {one_line(place, 60) or 'the top'!r}; {fits}"


@cache
def _shapes_of(name: str) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """What a bundled config asks for: of a memory attention alone, and of a whole model."""
    config = load_config(name)
    return parameter_shapes(config), parameter_shapes(config) | bank_parameter_shapes(config)
