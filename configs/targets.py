"""Which class a `_target_` names: matched by its end, whatever package holds it, and never imported."""

import re
from typing import Any

from .words import shown, suggestion

MODULES = {
    "MemoryAttention": "modeling.memory_attention",
    "MemoryAttentionLayer": "modeling.memory_attention",
    "RoPEAttention": "modeling.sam.transformer",
    "Attention": "modeling.sam.transformer",
}
OUR_MODULES = ("memory_attention.reference", "memory_attention.accelerated")

LONGEST_TARGET = 200

# SAM 2's whole models, and EfficientTAM's under its own names.
WHOLE_MODEL = re.compile(
    r"(.*\.)?(modeling\.(sam2|efficienttam)_base\.\w+"
    r"|training\.model\.(sam2|efficienttam)\.\w+"
    r"|(sam2|efficienttam)_\w*predictor\w*\.\w+)"
)


def class_named(target: Any, classes: set[str], where: str) -> str:
    """The one of `classes` that `target` names.

    Raises `ValueError`, naming the key, for any other: a class of another name is another network.
    """
    module, _, name = str(target).rpartition(".")
    if name in classes and (module in OUR_MODULES or f".{module}".endswith(f".{MODULES[name]}")):
        return name
    expected = " or ".join(f"….{MODULES[known]}.{known}" for known in sorted(classes))
    raise ValueError(
        f"{where}._target_ is {shown(target)}, which is not built here{suggestion(name, classes)}; "
        f"expected {expected}"
    )


def is_whole_model(target: Any) -> bool:
    """Whether `target` names a class of which the memory attention is a part."""
    return isinstance(target, str) and len(target) <= LONGEST_TARGET and WHOLE_MODEL.fullmatch(target) is not None
