"""Reads a SAM 2 YAML file. `_target_` is compared with known names and never imported."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from . import interpolation
from .constructors import ATTENTION_DEFAULTS, MODEL_DEFAULTS, check_required
from .forks import CHANGES_WHAT_IS_REMEMBERED
from .interpolation import Interpolations
from .reading import read_yaml
from .schema import AttentionConfig, Config, LayerConfig, MemoryAttentionConfig, MemoryBankConfig, Width
from .targets import class_named, is_whole_model
from .words import misspelt, shortened, shown, suggestion

T = TypeVar("T", bound=BaseModel)

FOLDER = Path(__file__).parent
IMAGE = ("image_size", "backbone_stride")
WIDTH = TypeAdapter[int](Width)

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


def available_configs() -> list[str]:
    """The names of the bundled configs."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_config(config: str | os.PathLike[str] | Config) -> Config:
    """Return the config of that name, at that path, or itself if it is parsed already.

    Of a training file the model is read. Raises `FileNotFoundError` for an unknown name and `ValueError`,
    naming the file, the key and what was expected, for a file that is not a SAM 2 config, or beyond the limits
    of `read_yaml`.
    """
    if isinstance(config, Config):
        return config
    if not isinstance(config, str | os.PathLike):
        raise TypeError(f"config is {type(config).__name__}, expected a name, a path or a parsed Config")
    path = _find(config)
    try:
        return _parse(read_yaml(path), path.stem)
    except ValueError as error:
        raise ValueError(f"{path}: {shortened(str(error))}") from None


def _find(config: str | os.PathLike[str]) -> Path:
    path = Path(config)
    if path.suffix.lower() in (".yaml", ".yml"):
        if not os.path.exists(path):  # which says no, where `Path.exists` raises for a name too long
            raise FileNotFoundError(f"config: no such file: {path}")
        return path
    if str(config) not in available_configs():
        raise FileNotFoundError(
            f"config: {shown(str(config))} is neither a bundled config nor a .yaml file"
            f"{suggestion(str(config), available_configs())}; bundled are {', '.join(available_configs())}"
        )
    return FOLDER / f"{config}.yaml"


def _parse(document: Any, name: str) -> Config:
    _refuse_other_files(document)
    values = Interpolations(document)
    model, place = _model(values, document)
    _refuse_other_memories(model, place, values)

    own = (*IMAGE, *MemoryBankConfig.model_fields)
    _check_keys(model, own, "model", near_only=True)
    given = {key: values.resolve(model[key], (*place, key)) for key in own if key in model}
    network = values.resolve(model["memory_attention"], (*place, "memory_attention"))

    target = values.resolve(model.get("_target_"), (*place, "_target_"))
    whole = "image_encoder" in model or is_whole_model(target)
    settings = dict(MODEL_DEFAULTS) | given if whole else given
    image: dict[str, Any] = {key: settings.pop(key) for key in IMAGE if key in settings}
    config = _node(
        Config,
        {
            "name": name,
            "memory_attention": _memory_attention(network, whole),
            "memory_bank": _node(MemoryBankConfig, settings, "model"),
            **image,
        },
        "model",
    )
    if image:
        _ = config.grid  # raises where the file contradicts itself
    return config


def _model(values: Interpolations, document: Any) -> tuple[Mapping[str, Any], interpolation.Path]:
    """The mapping that holds the memory attention, and where it stands: of a training file the trainer's model."""
    for keys in (("trainer", "model"), ("model",), ()):
        node: Any = document
        place: interpolation.Path = ()
        for key in keys:
            inner = node.get(key) if isinstance(node, Mapping) else None
            node, place = values.follow(inner, (*place, key))
        if isinstance(node, Mapping) and "memory_attention" in node:
            return node, place
    _mapping(document, "the file")
    raise ValueError("no memory_attention node, neither under model: nor at the top level")


def _refuse_other_files(document: Any) -> None:
    """Raise for Hydra's list of files that a config is put together from: what they say would be left out."""
    listed = document.get("defaults") if isinstance(document, Mapping) else None
    for entry in listed if isinstance(listed, list) else []:
        names = [str(name) for name in entry] if isinstance(entry, Mapping) else [str(entry)]
        if not all(name == "_self_" or "hydra/" in name for name in names):
            raise ValueError(f"defaults names another file, {shown(entry)}, expected one whole file")


def _refuse_other_memories(model: Mapping[str, Any], place: interpolation.Path, values: Interpolations) -> None:
    for key in sorted(CHANGES_WHAT_IS_REMEMBERED - set(MemoryBankConfig.model_fields)):
        if key in model and (value := values.resolve(model[key], (*place, key))):
            raise ValueError(
                f"model.{key} is {shown(value)}: it changes what a frame remembers, which is not built here; "
                "expected it off or left out"
            )


def _memory_attention(node: Any, whole: bool) -> MemoryAttentionConfig:
    where = "memory_attention"
    fields, _ = _fields(node, MemoryAttentionConfig, {"MemoryAttention"}, where)
    # A node that says nothing is SAM 2's shipped one, in a whole model too.
    whole = whole and bool(fields)
    if whole:
        check_required(fields, "MemoryAttention", where)
    d_model = _width(fields.get("d_model", MemoryAttentionConfig().d_model), f"{where}.d_model")
    fields["layer"] = _layer(fields.get("layer", {}), d_model, whole, f"{where}.layer")
    return _node(MemoryAttentionConfig, fields, where)


def _layer(node: Any, d_model: int, whole: bool, where: str) -> LayerConfig:
    fields, _ = _fields(node, LayerConfig, {"MemoryAttentionLayer"}, where)
    if whole:
        check_required(fields, "MemoryAttentionLayer", where)
    fields["d_model"] = _width(fields.get("d_model", d_model), f"{where}.d_model")
    for name in ("self_attention", "cross_attention"):
        shipped = getattr(LayerConfig(), name).model_dump() | {"embedding_dim": fields["d_model"]}
        fields[name] = _attention(fields.get(name, {}), shipped, whole, f"{where}.{name}")
    return _node(LayerConfig, fields, where)


def _attention(node: Any, shipped: dict[str, Any], whole: bool, where: str) -> AttentionConfig:
    fields, name = _fields(node, AttentionConfig, {"RoPEAttention", "Attention"}, where)
    if whole:
        check_required(fields, "RoPEAttention", where)
    defaults = ATTENTION_DEFAULTS if whole else shipped
    return _node(AttentionConfig, {**defaults, **fields, "rotary": name != "Attention"}, where)


def _fields(
    node: Any, schema: type[BaseModel], classes: set[str], where: str
) -> tuple[dict[str, Any], str | None]:
    """What a node says beside its class, and the class that it names, if any."""
    fields = dict(_mapping(node, where))
    target = fields.pop("_target_", None)
    name = None if target is None else class_named(target, classes, where)
    _check_keys(fields, [key for key in schema.model_fields if key != "rotary"], where)
    return fields, name


def _mapping(node: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(node, Mapping):
        raise ValueError(f"{where} is {type(node).__name__}, expected a mapping of keys to values")
    return node


def _check_keys(node: Mapping[str, Any], known: Iterable[str], where: str, near_only: bool = False) -> None:
    """Raise for an unknown key; with `near_only` just for one that looks like a misspelt known key."""
    known = list(known)
    unknown = [key for key in node if key not in known and not (near_only and key in PASSED_OVER)]
    near = misspelt(map(str, unknown), known)
    if near:
        raise ValueError(f"{where} has the unknown key {shown(near)}{suggestion(near, known)}")
    if unknown and not near_only:
        raise ValueError(f"{where} has the unknown key {shown(unknown[0])}; expected {', '.join(known)}")


def _width(value: Any, where: str) -> int:
    try:
        return WIDTH.validate_python(value)
    except ValidationError as error:
        raise _explain(error, where) from None


def _node(schema: type[T], fields: dict[str, Any], where: str) -> T:
    try:
        return schema(**fields)
    except ValidationError as error:
        raise _explain(error, where) from None


def _explain(error: ValidationError, where: str) -> ValueError:
    first = error.errors()[0]
    key = ".".join([where, *map(str, first["loc"])])
    if first["type"] == "value_error":
        return ValueError(f"{key}: {first['ctx']['error']}")
    problem = first["msg"].replace("Input should be ", "expected ", 1)
    return ValueError(f"{key} is {shown(first['input'])}, {problem}")
