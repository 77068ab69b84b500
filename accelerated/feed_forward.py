"""Step 6: every token by itself passes a network of two layers."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..rules.record import Record, unrecorded
from .norm import LayerNorm
from .ways import tokens_at_once

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

    On CPUs, without gradients and where nobody looks, it takes some tokens after others.
    Source: Vaswani et al., 2017, arXiv:1706.03762, section 3.3.
    """

    def update(tokens: Float[Tensor, "*rest C"]) -> Float[Tensor, "*rest C"]:
        hidden = record("linear1", linear1(record("norm3", norm(tokens))))
        return record("linear2", linear2(dropout(record("activation", activation(hidden)))))

    at_once = tokens_at_once(x, TOKENS_AT_ONCE, norm, linear1, dropout, linear2, record)
    if at_once is None:
        updated = update(x)
    else:
        updated = torch.cat([update(part) for part in x.flatten(0, 1).split(at_once)]).view(x.shape)
    return record("feed_forward", x + dropout_residual(updated))
