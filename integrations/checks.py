"""What must hold for a module of a host before ours computes in its place. Each error names what does not fit."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from ..accelerated.tracing import is_hooked


def check_one_device(module: nn.Module) -> None:
    """Raise `ValueError` where parts of the memory attention are on different devices."""
    seen: dict[str, str] = {}
    for name, parameter in module.named_parameters():
        seen.setdefault(str(parameter.device), name)
    if len(seen) > 1:
        (device, name), (other, another) = list(seen.items())[:2]
        raise ValueError(f"memory_attention.{name} is on {device}, {another} on {other}: expected one device")


def check_own_forwards(module: nn.Module, parts: Iterable[nn.Module]) -> None:
    """Raise `ValueError` where someone changed how a part is called: ours is called in another way.

    The whole may have hooks, as its call stays the same; leaves, such as `linear1`, may have what they like.
    """
    names = {part: name for name, part in module.named_modules()}
    for part in parts:
        where = f"memory_attention.{names[part]}".rstrip(".")
        if "forward" in vars(part) or vars(part).get("_compiled_call_impl") is not None:
            raise ValueError(f"{where} has another forward (compiled, perhaps): accelerate first, then compile it")
        if part is not module and is_hooked(part):
            raise ValueError(f"{where} has hooks for the host's call: remove them, and add them when accelerated")


def check_width(where: str, linear: Any, channels_in: int, channels_out: int, said_by: str) -> None:
    """Raise `ValueError` where a projection has other widths than its config, or its neighbours, say."""
    found = (getattr(linear, "in_features", None), getattr(linear, "out_features", None))
    if found != (channels_in, channels_out):
        raise ValueError(
            f"{where} maps {found[0]} channels to {found[1]}, "
            f"expected {channels_in} to {channels_out} by {said_by}"
        )
