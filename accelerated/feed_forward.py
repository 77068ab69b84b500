"""Step 6: every token by itself passes a network of two layers."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import _has_any_global_hook

from ..rules.record import Record, unrecorded
from .norm import LayerNorm
from .tracing import is_hooked, is_plain_linear, is_traced

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

    plain = is_plain_linear(linear1) and is_plain_linear(linear2) and type(norm) is LayerNorm
    seen = is_hooked(norm) or is_hooked(dropout) or _has_any_global_hook() or record is not unrecorded
    recorded = is_traced(x) or torch.is_grad_enabled()
    # A trace would keep what it is asked of the sizes, so it is not asked.
    if plain and not seen and not recorded and x.device.type == "cpu" and len(x) * x.shape[1] > TOKENS_AT_ONCE:
        parts = x.flatten(0, 1).split(TOKENS_AT_ONCE)
        updated = torch.cat([update(part) for part in parts]).view(x.shape)
    else:
        updated = update(x)
    return record("feed_forward", x + dropout_residual(updated))
