"""Reads a SAM 2 YAML file. `_target_` is compared with an allow-list and never imported."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from .schema import AttentionConfig, Config, LayerConfig, MemoryAttentionConfig, MemoryBankConfig

T = TypeVar("T", bound=BaseModel)

FOLDER = Path(__file__).parent

CLASSES = {
    "MemoryAttention": "memory_attention",
    "MemoryAttentionLayer": "memory_attention",
    "RoPEAttention": "sam.transformer",
    "Attention": "sam.transformer",
}
ALLOWED_TARGETS = {f"sam2.modeling.{module}.{name}": name for name, module in CLASSES.items()} | {
    f"memory_attention.{package}.{name}": name for package in ("reference", "accelerated") for name in CLASSES
}

# The other arguments of SAM 2's `SAM2Base`: known, and no business of the memory attention.
PASSED_OVER = frozenset(
    {
        "_target_",
        "image_encoder",
        "memory_attention",
        "memory_encoder",
        "sigmoid_scale_for_mem_enc",
        "sigmoid_bias_for_mem_enc",
        "binarize_mask_from_pts_for_mem_enc",
        "use_mask_input_as_output_without_sam",
        "use_high_res_features_in_sam",
        "multimask_output_in_sam",
        "multimask_min_pt_num",
        "multimask_max_pt_num",
        "multimask_output_for_tracking",
        "use_multimask_token_for_obj_ptr",
        "iou_prediction_use_sigmoid",
        "non_overlap_masks_for_mem_enc",
        "pred_obj_scores",
        "pred_obj_scores_mlp",
        "fixed_no_obj_ptr",
        "soft_no_obj_ptr",
        "use_mlp_for_obj_ptr_proj",
        "sam_mask_decoder_extra_args",
        "compile_image_encoder",
    }
)


class _UniqueKeys(yaml.SafeLoader):
    """YAML without code and without two values for one key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice")
        return super().construct_mapping(node, deep)


def available_configs() -> list[str]:
    """The names of the bundled configs."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_config(config: str | os.PathLike[str] | Config) -> Config:
    """Return the config of that name, at that path, or itself if it is parsed already.

    Raises `FileNotFoundError` for an unknown name and `ValueError`, naming the file, the key and what
    was expected, for a file that is not a SAM 2 config.
    """
    if isinstance(config, Config):
        return config
    if not isinstance(config, str | os.PathLike):
        raise TypeError(f"config is {type(config).__name__}, expected a name, a path or a parsed Config")
    path = _find(config)
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from None
    return _parse(document, path)


def _find(config: str | os.PathLike[str]) -> Path:
    path = Path(config)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise FileNotFoundError(f"config: no such file: {path}")
        return path
    if str(config) not in available_configs():
        raise FileNotFoundError(
            f"config: {str(config)!r} is neither a bundled config nor a .yaml file"
            f"{_suggest(str(config), available_configs())}; bundled are {', '.join(available_configs())}"
        )
    return FOLDER / f"{config}.yaml"


def _parse(document: Any, path: Path) -> Config:
    model = _mapping(document, path, "the file")
    for key in ("trainer", "model"):
        model = _mapping(model.get(key, model), path, key)
    if "memory_attention" not in model:
        raise ValueError(f"{path}: no memory_attention node, neither under model: nor at the top level")

    own = ("image_size", "backbone_stride", *MemoryBankConfig.model_fields)
    _check_keys(model, own, path, "model", near_only=True)
    # A training file leaves the image size to be filled in later: "${scratch.resolution}".
    settings = {key: model[key] for key in own if key in model and not _is_interpolation(model[key])}
    image = {key: settings.pop(key) for key in ("image_size", "backbone_stride") if key in settings}
    try:
        return Config(
            name=path.stem,
            memory_attention=_memory_attention(model["memory_attention"], path),
            memory_bank=_node(MemoryBankConfig, settings, path, "model"),
            **image,
        )
    except ValidationError as error:
        raise _explain(error, path, "model") from None


def _memory_attention(node: Any, path: Path) -> MemoryAttentionConfig:
    where = "memory_attention"
    fields = _fields(node, MemoryAttentionConfig, {"MemoryAttention"}, path, where)
    d_model = fields.get("d_model", MemoryAttentionConfig().d_model)
    fields["layer"] = _layer(fields.get("layer", {}), d_model, path, f"{where}.layer")
    return _node(MemoryAttentionConfig, fields, path, where)


def _layer(node: Any, d_model: int, path: Path, where: str) -> LayerConfig:
    fields = _fields(node, LayerConfig, {"MemoryAttentionLayer"}, path, where)
    fields.setdefault("d_model", d_model)
    for name in ("self_attention", "cross_attention"):
        default = getattr(LayerConfig(), name).model_dump() | {"embedding_dim": fields["d_model"]}
        given = _attention(fields.get(name, {}), path, f"{where}.{name}")
        fields[name] = _node(AttentionConfig, default | given, path, f"{where}.{name}")
    return _node(LayerConfig, fields, path, where)


def _attention(node: Any, path: Path, where: str) -> dict[str, Any]:
    target = _target(node, {"RoPEAttention", "Attention"}, path, where)
    fields = _fields(node, AttentionConfig, {"RoPEAttention", "Attention"}, path, where, hidden={"rotary"})
    return fields if target is None else fields | {"rotary": target == "RoPEAttention"}


def _fields(
    node: Any,
    schema: type[BaseModel],
    classes: set[str],
    path: Path,
    where: str,
    hidden: frozenset[str] | set[str] = frozenset(),
) -> dict[str, Any]:
    _target(node, classes, path, where)
    known = [key for key in schema.model_fields if key not in hidden]
    fields = dict(_mapping(node, path, where))
    fields.pop("_target_", None)
    _check_keys(fields, known, path, where)
    return fields


def _target(node: Any, classes: set[str], path: Path, where: str) -> str | None:
    """The class a node names, or none; the name is looked up in a table and nothing is imported."""
    target = _mapping(node, path, where).get("_target_")
    if target is None:
        return None
    allowed = [known for known, name in ALLOWED_TARGETS.items() if name in classes]
    if target not in allowed:
        raise ValueError(
            f"{path}: {where}._target_ is {target!r}, which is not allowed"
            f"{_suggest(str(target), allowed)}; expected one of {', '.join(allowed)}"
        )
    return ALLOWED_TARGETS[target]


def _mapping(node: Any, path: Path, where: str) -> Mapping[str, Any]:
    if not isinstance(node, Mapping):
        raise ValueError(f"{path}: {where} is {type(node).__name__}, expected a mapping of keys to values")
    return node


def _check_keys(node: Mapping[str, Any], known: Any, path: Path, where: str, near_only: bool = False) -> None:
    """Raise for an unknown key; with `near_only` just for one that looks like a misspelt known key."""
    for key in node:
        if key in known or (near_only and key in PASSED_OVER):
            continue
        suggestion = _suggest(str(key), known)
        if suggestion or not near_only:
            raise ValueError(
                f"{path}: {where} has the unknown key {key!r}{suggestion}; expected {', '.join(known)}"
            )


def _suggest(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.8)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _is_interpolation(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("${")


def _node(schema: type[T], fields: dict[str, Any], path: Path, where: str) -> T:
    try:
        return schema(**fields)
    except ValidationError as error:
        raise _explain(error, path, where) from None


def _explain(error: ValidationError, path: Path, where: str) -> ValueError:
    first = error.errors()[0]
    key = ".".join([where, *map(str, first["loc"])])
    if first["type"] == "value_error":
        return ValueError(f"{path}: {key}: {first['ctx']['error']}")
    expected = first["msg"].removeprefix("Input should be ")
    return ValueError(f"{path}: {key} is {first['input']!r}, expected {expected}")
