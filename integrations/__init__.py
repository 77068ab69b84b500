"""Our memory attention inside other people's running models: `transformers`, SAM 2 and its forks."""

from ..rules.packages import require

require("torch", "the memory attention of a running model")

from .recording import record_module, recorded_by
from .swapping import accelerate, restore

__all__ = ["accelerate", "record_module", "recorded_by", "register", "restore", "unregister"]


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
