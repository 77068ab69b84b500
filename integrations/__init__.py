"""Our memory attention in other people's programs: `transformers`, SAM 2 and its forks, onnxruntime."""

import importlib
from typing import Any

from ..rules.packages import require

__all__ = ["accelerate", "record_module", "recorded_by", "register", "restore", "unregister"]

NEED_TORCH = {
    "accelerate": "swapping",
    "record_module": "recording",
    "recorded_by": "recording",
    "restore": "swapping",
}
"""Where the calls are that need PyTorch; ONNX does not, so they are found when they are asked for."""


def __getattr__(name: str) -> Any:
    if name in NEED_TORCH:
        require("torch", "the memory attention of a running model")
        return getattr(importlib.import_module(f"{__name__}.{NEED_TORCH[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def register() -> None:
    """Let `transformers` build our memory attention by itself, in `from_pretrained` and `from_config`.

    Holds for SAM 2's and SAM 3's trackers, for the whole process, until `unregister`; `restore` works on a
    model that was built so. Raises `ValueError` where some mapping for these classes is registered already.
    """
    require("transformers", "register")
    from .transformers import register_in_host

    register_in_host()


def unregister() -> None:
    """Undo `register`; models that are built already stay as they are. Raises `ValueError` if not registered."""
    require("transformers", "unregister")
    from .transformers import unregister_in_host

    unregister_in_host()
