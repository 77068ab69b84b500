"""Step 1: layer normalisation."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def layer_norm(
    x: Float[Tensor, "*rest C"], weight: Float[Tensor, " C"], bias: Float[Tensor, " C"], eps: float = 1e-5
) -> Float[Tensor, "*rest C"]:
    """(x − mean(x)) / √(var(x) + eps) · weight + bias over the last axis, with the biased variance.

    Source: Ba et al., 2016, arXiv:1607.06450, section 3.1.
    """
    return F.layer_norm(x, weight.shape, weight, bias, eps)


class LayerNorm(nn.LayerNorm):
    """`layer_norm` with its own weight and bias, at first 1 and 0."""

    def forward(self, x: Float[Tensor, "*rest C"]) -> Float[Tensor, "*rest C"]:
        """Normalise the last axis."""
        return layer_norm(x, self.weight, self.bias)
