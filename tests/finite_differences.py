"""Gradients measured: how much a number changes when one array is moved a little, forth and back."""

from collections.abc import Callable, Mapping

import numpy as np

from memory_attention.tolerances import FINITE_DIFFERENCES

STEP = 1e-5
"""Its square is what a slope's curvature adds, ε / STEP what rounding does: both far below the tolerance."""


def check_gradients(
    forward: Callable[[], np.ndarray],
    arrays: Mapping[str, np.ndarray],
    gradients: Mapping[str, np.ndarray],
    d_out: np.ndarray,
    seed: int = 0,
) -> None:
    """Every gradient of Σ d_out · forward() is the slope along random directions, relative to its length.

    `forward` reads the `arrays` (float64), which are moved in place and moved back.
    """
    assert gradients.keys() == arrays.keys()
    rng = np.random.default_rng(seed)
    for name, array in arrays.items():
        assert gradients[name].shape == array.shape, name
        for _ in range(2):
            direction, kept = rng.standard_normal(array.shape), array.copy()
            change = 0.0
            for sign in (1, -1):
                array[...] = kept + sign * STEP * direction
                change += sign * (forward() * d_out).sum()
            array[...] = kept
            wrong = abs((gradients[name] * direction).sum() - change / (2 * STEP))
            length = float(np.linalg.norm(gradients[name]))
            assert length > 0, f"{name}: no gradient"
            assert wrong <= FINITE_DIFFERENCES * length, f"{name}: off by {wrong / length:.1e}"
