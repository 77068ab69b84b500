"""The two calls: ours takes the place of a model's memory attention, and gives it back."""

from typing import TypeVar

import torch
from torch import nn

from ..accelerated import MemoryAttention
from . import sam2
from .checks import check_one_device, check_own_forwards
from .twins import Part, is_twin, original_of, twin_of

Model = TypeVar("Model", bound=nn.Module)

NAME = "memory_attention"


def accelerate(model: Model) -> Model:
    """Let our memory attention compute in place of the model's own, and return the model.

    `model` is a `Sam2VideoModel` or `Sam3TrackerVideoModel` of `transformers`, SAM 2's own predictor or one
    of its forks', or anything that holds one. The weights stay the model's own: they are shared, under the
    host's names, and not copied. `restore` puts the very same module back. Raises `TypeError` for what is
    no module, `RuntimeError` inside `torch.compile`, and `ValueError`, naming the part, for a model without
    a memory attention, with one that is accelerated already, that is another network than SAM 2's, is of
    other widths than its config says, or is spread over devices. The model is then as it was.
    """
    places = places_of(model, "accelerate")
    twins = {original: _twin(original) for _, original in places}
    for parent, original in places:
        setattr(parent, NAME, twins[original])
    return model


def restore(model: Model) -> Model:
    """Put the model's own memory attention back, the very same module, and return the model.

    Weights, mode, device and dtype are as they were left. Raises `TypeError` for what is no module,
    `RuntimeError` inside `torch.compile`, and `ValueError` for a model that is not accelerated.
    """
    places = places_of(model, "restore")
    if not any(is_twin(module) for _, module in places):
        raise ValueError(f"the {NAME} of this {type(model).__name__} is not accelerated: nothing to restore")
    for parent, module in places:
        setattr(parent, NAME, original_of(module))
    return model


def plan_of(original: nn.Module) -> dict[nn.Module, Part]:
    """Our class for each part of a host's memory attention. Raises `ValueError` for another network."""
    if any(kind.__module__.startswith("transformers.") for kind in type(original).__mro__):
        from .transformers import plan

        return plan(original)
    return sam2.plan(original)


def places_of(model: nn.Module, call: str) -> list[tuple[nn.Module, nn.Module]]:
    """Every memory attention in the model, with the module that holds it."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is {type(model).__name__}, expected a torch.nn.Module that holds a {NAME}")
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        raise RuntimeError(f"{call} inside torch.compile or a trace: call it before, on the model")
    places = [(parent, parent._modules.get(NAME)) for parent in model.modules()]
    found = [(parent, module) for parent, module in places if module is not None]
    if not found:
        raise ValueError(f"model is {type(model).__name__}, in which no module is called {NAME}")
    return found


def _twin(original: nn.Module) -> nn.Module:
    """Ours in place of the original, if it is one that ours computes as well."""
    if is_twin(original) or isinstance(original, MemoryAttention):
        raise ValueError(f"the model's {NAME} is ours already")
    if hasattr(original, "_orig_mod"):
        raise ValueError(f"the model's {NAME} is compiled: accelerate first, then compile it")
    parts = plan_of(original)
    check_own_forwards(original, parts)
    check_one_device(original)
    return twin_of(original, parts)
