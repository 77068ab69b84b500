"""Step 6: every token by itself passes a network of two layers."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..configs.contract import Record, unrecorded
from .norm import LayerNorm

Activation = Callable[[Tensor], Tensor]

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
    hidden = record("linear1", linear1(record("norm3", norm(x))))
    update = record("linear2", linear2(dropout(record("activation", activation(hidden)))))
    return record("feed_forward", x + dropout_residual(update))
