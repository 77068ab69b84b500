"""Muon: steps of about one length in every direction of a weight matrix, for the layers between first and last."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ROUNDS = 5
LENGTH = 0.2
"""The root mean square of a step, in learning rates: about that of AdamW, so that both take the same rate.

Source: Liu et al., 2025, arXiv:2502.16982, section 2.2.
"""


def orthogonalised(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """U Vᵀ of the matrix U S Vᵀ, nearly, by a Newton–Schulz iteration.

    Singular values become 0.68 to 1.21 where they are at least a 600th of their root sum of squares; smaller ones
    stay smaller.
    Source: Jordan et al., 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    tall = len(matrix) > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov's momentum, orthogonalised: for weights [O,I] of linear layers, [O,I,3,3] of convolutions.

    PyTorch's own takes no convolutions, and iterates in bfloat16, which is slow on CPUs.
    """

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    def step(self) -> None:  # type: ignore[override]
        """Change every parameter that has a gradient."""
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._change(parameter, group)

    def _change(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        direction = gradient.lerp(state["momentum"], group["momentum"]).flatten(1)
        # An orthogonal matrix has entries of the root mean square 1 / √(its longer side).
        length = LENGTH * max(direction.shape) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(orthogonalised(direction).view_as(parameter), alpha=-group["lr"] * length)
