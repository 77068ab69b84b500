"""A twin of a module computes by our classes with all that the module has: nothing is copied, nothing is lost."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn


class Part(NamedTuple):
    """Our class for a module of the host, and what it must know that the module has not got under our names."""

    kind: type[nn.Module]
    settings: Mapping[str, Any] = {}


def twin_of(module: nn.Module, plan: Mapping[nn.Module, Part]) -> nn.Module:
    """The module in which those of the `plan` are of our classes; all others are the very same modules.

    Parameters, buffers and hooks are held in the same tables, so that what is done to one is done to both.
    """
    children = {name: child if child is None else twin_of(child, plan) for name, child in module._modules.items()}
    if module not in plan and children == module._modules:
        return module
    part = plan.get(module, Part(type(module)))
    twin: nn.Module = object.__new__(part.kind)
    twin.__dict__.update(vars(module), _modules=children, twin_of=module, **part.settings)
    return twin


def is_twin(module: nn.Module | None) -> bool:
    """Whether the module was made by `twin_of`."""
    return module is not None and "twin_of" in vars(module)


def original_of(module: Any) -> Any:
    """The module that a twin was made from, in the twin's mode and with its children; else the module itself."""
    if not is_twin(module):
        return module
    original = vars(module)["twin_of"]
    original.training = module.training
    children = {name: original_of(child) for name, child in module._modules.items()}
    # What was taken out meanwhile stays out.
    original._modules.clear()
    original._modules.update(children)
    return original
