"""Parameters by SAM 2's names: drawn from a seed, or read from a checkpoint without running its code."""

import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .configs import Config, LayerConfig, bank_parameter_shapes
from .configs.schema import AttentionConfig
from .files import read_npz
from .rules.packages import require

Weights = dict[str, np.ndarray]

PREFIX = "memory_attention."

# Hugging Face's names for SAM 2's, in the order of replacement.
HUGGING_FACE = {
    ".o_proj.": ".out_proj.",
    ".layer_norm1.": ".norm1.",
    ".layer_norm2.": ".norm2.",
    ".layer_norm3.": ".norm3.",
    "memory_attention.layer_norm.": "memory_attention.norm.",
    "memory_temporal_positional_encoding": "maskmem_tpos_enc",
    "no_memory_embedding": "no_mem_embed",
    "no_memory_positional_encoding": "no_mem_pos_enc",
    "temporal_positional_encoding_projection_layer": "obj_ptr_tpos_proj",
    "occlusion_spatial_embedding_parameter": "no_obj_embed_spatial",
}


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
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(config) | bank_parameter_shapes(config)
    weights: Weights = {}
    for name, shape in shapes.items():
        if ".norm" in name:
            drawn = np.full(shape, float(name.endswith("weight")))
        else:
            is_matrix = name.endswith("weight")
            drawn = rng.normal(0, shape[1] ** -0.5 if is_matrix else 0.02, shape)
        weights[name] = drawn.astype(np.float32)
    return weights


def read_weights(source: str | os.PathLike[str] | Mapping[str, Any], config: Config) -> Weights:
    """Read the parameters that `config` asks for from a checkpoint file, or from a mapping of its names.

    Files: SAM 2's `.pt` (`{"model": state_dict}`), a bare state dict, `.safetensors`, `.npz`; names: SAM
    2's, with or without `memory_attention.` before them, or Hugging Face's. Other parameters of a whole
    model are passed over. The bank's parameters are read where they are there. Raises `ValueError` for
    a file that is no checkpoint or would run code, and for a parameter that is missing, extra,
    misshapen, or not finite, naming it. bfloat16 is read as float32.
    """
    where = "weights" if isinstance(source, Mapping) else os.fspath(source)
    found = source if isinstance(source, Mapping) else _read_file(Path(source))
    if isinstance(found, Mapping) and set(found) == {"model"}:
        found = found["model"]
    if not isinstance(found, Mapping):
        raise ValueError(f"{where}: holds {type(found).__name__}, expected a mapping of names to tensors")
    named = {_canonical(str(name)): value for name, value in found.items()}
    if not any(name.startswith(PREFIX) for name in named):
        named = {PREFIX + name if name.startswith(("layers.", "norm.")) else name: v for name, v in named.items()}

    required, optional = parameter_shapes(config), bank_parameter_shapes(config)
    missing = [name for name in required if name not in named]
    extra = [name for name in named if name.startswith(PREFIX) and name not in required]
    if missing:
        raise ValueError(f"{where}: {_listed('missing', missing)} for config {config.name!r}")
    if extra:
        raise ValueError(f"{where}: {_listed('extra', extra)} for config {config.name!r}")
    return {
        name: _checked(name, named[name], shape, where)
        for name, shape in (required | optional).items()
        if name in named
    }


def _canonical(name: str) -> str:
    name = name.removeprefix("model.") if name.startswith("model.memory_attention.") else name
    for theirs, ours in HUGGING_FACE.items():
        name = name.replace(theirs, ours)
    return name


def _listed(kind: str, names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{kind} parameter {names[0]}{more}"


def _checked(name: str, value: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
    array = _to_numpy(value)
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise ValueError(f"{where}: {name} has dtype {array.dtype}, expected a floating dtype")
    if array.shape != shape:
        raise ValueError(f"{where}: {name} has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{where}: {name} has {np.sum(~np.isfinite(array))} values that are NaN or infinite")
    return array


def _to_numpy(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
        value = value.numpy()
    return np.asarray(value)


def _read_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"weights: no such file: {path}")
    reader = {".safetensors": _read_safetensors, ".npz": read_npz}.get(path.suffix, _read_torch)
    try:
        found = reader(path)
    except (ModuleNotFoundError, FileNotFoundError):
        raise
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path}: refused, since it holds more than tensors and reading it could run code "
            f"({str(error).splitlines()[0]})"
        ) from None
    except Exception as error:
        # Each format raises its own kinds; whatever the kind, the file could not be read.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"{path}: not a readable {path.suffix or 'checkpoint'} file ({reason})") from None
    return found


def _read_torch(path: Path) -> Any:
    require("torch", f"{path}: reading a PyTorch checkpoint")
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import deserialize

    return {name: _decode(tensor) for name, tensor in deserialize(path.read_bytes())}


def _decode(tensor: Mapping[str, Any]) -> np.ndarray:
    """A safetensors entry as an array; bfloat16 is the upper half of a float32."""
    if tensor["dtype"] == "BF16":
        upper = np.frombuffer(tensor["data"], "<u2").astype(np.uint32)
        return (upper << 16).view(np.float32).reshape(tensor["shape"])
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
    if tensor["dtype"] not in kinds:
        return np.empty(tensor["shape"], object)
    return np.frombuffer(tensor["data"], kinds[tensor["dtype"]]).reshape(tensor["shape"])
