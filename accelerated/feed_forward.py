"""Step 6: every token by itself passes a network of two layers."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..configs.contract import Record, unrecorded
from .norm import LayerNorm
from .tracing import is_traced

Activation = Callable[[Tensor], Tensor]

TOKENS_AT_ONCE = 1024
"""On CPUs the hidden layer of so many tokens stays in the cache, and is never held for all of them."""

ACTIVATIONS: dict[str, Activation] = {"relu": F.relu, "gelu": F.gelu, "glu": F.glu}


def feed_forward(
    x: Float[Tensor, "B N C"],
    norm: LayerNorm,
    linear1: nn.Module,
    activation: Activation,
    dropout: nn.Module,
    linear2: nn.Module,
    dropout_residual: nn.Module,
    record: Record = unrecorded,
) -> Float[Tensor, "B N C"]:
    """x + dropout_residual(W₂ · dropout(activation(W₁ · norm(x) + b₁)) + b₂).

    Source: Vaswani et al., 2017, arXiv:1706.03762, section 3.3.
    """
    if record is unrecorded and x.device.type == "cpu" and not is_traced(x):
        parts = x.split(TOKENS_AT_ONCE, dim=1)
    else:
        parts = (x,)

    def update(part: Float[Tensor, "B n C"]) -> Float[Tensor, "B n C"]:
        hidden = record("linear1", linear1(record("norm3", norm(part))))
        return record("linear2", linear2(dropout(record("activation", activation(hidden)))))

    return record("feed_forward", x + dropout_residual(torch.cat([update(part) for part in parts], dim=1)))
