"""Parameters by name: the little that the classes need besides their formulas."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float


class Module:
    """An object whose arrays, and whose parts' arrays, have names like `layers.0.norm1.weight`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The formula of this module."""
        raise NotImplementedError

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Float[np.ndarray, "..."]]]:
        """Every parameter with its dotted name."""
        for name, part in vars(self).items():
            if isinstance(part, np.ndarray):
                yield prefix + name, part
            elif isinstance(part, Module):
                yield from part.named_parameters(f"{prefix}{name}.")
            elif isinstance(part, list):
                for index, item in enumerate(part):
                    yield from item.named_parameters(f"{prefix}{name}.{index}.")

    def load_parameters(self, parameters: Mapping[str, Float[np.ndarray, "..."]]) -> None:
        """Take over parameters of the same names and shapes, in place.

        Raises `ValueError`, and changes nothing, for a parameter that is missing, extra or misshapen.
        """
        own = dict(self.named_parameters())
        for name in sorted(own.keys() ^ parameters.keys()):
            raise ValueError(f"{'missing' if name in own else 'extra'} parameter {name}")
        for name, current in own.items():
            if parameters[name].shape != current.shape:
                raise ValueError(f"{name} has shape {parameters[name].shape}, expected {current.shape}")
        for name, value in parameters.items():
            self._set(name, value.copy())

    def _set(self, name: str, value: Float[np.ndarray, "..."]) -> None:
        head, _, rest = name.partition(".")
        if not rest:
            setattr(self, head, value)
            return
        part = getattr(self, head)
        if isinstance(part, list):
            index, _, rest = rest.partition(".")
            part = part[int(index)]
        part._set(rest, value)


class Linear(Module):
    """y = x Wᵀ + b, drawn at first as PyTorch draws it: uniformly within ±1/√(channels in)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        rng, bound = np.random.default_rng(), channels_in**-0.5
        self.weight = rng.uniform(-bound, bound, (channels_out, channels_in)).astype(np.float32)
        self.bias = rng.uniform(-bound, bound, channels_out).astype(np.float32)

    def forward(self, x: Float[np.ndarray, "*rest I"]) -> Float[np.ndarray, "*rest O"]:
        """Apply the formula to the last axis; dtype as in `x`."""
        return x @ self.weight.T.astype(x.dtype) + self.bias.astype(x.dtype)
