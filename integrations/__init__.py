"""Our memory attention in other people's programs: `transformers`, SAM 2 and its forks, onnxruntime."""

from typing import Any

from ..rules.packages import require

__all__ = ["accelerate", "register", "restore", "unregister"]


def __getattr__(name: str) -> Any:
    """`accelerate` and `restore`, which need PyTorch; ONNX does not."""
    if name in ("accelerate", "restore"):
        require("torch", "the memory attention of a running model")
        from . import swapping

        return getattr(swapping, name)
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
