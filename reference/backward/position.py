"""Step 2, backwards: the rotary encoding turns back."""

import numpy as np
from jaxtyping import Float

from ..position import rotate


def rotate_forward(
    x: Float[np.ndarray, "*rest N d"], angles: Float[np.ndarray, "N half"]
) -> tuple[Float[np.ndarray, "*rest N d"], Float[np.ndarray, "N half"]]:
    """`rotate`; the cache is its angles."""
    return rotate(x, angles), angles


def rotate_backward(
    d_out: Float[np.ndarray, "*rest N d"], angles: Float[np.ndarray, "N half"]
) -> Float[np.ndarray, "*rest N d"]:
    """The gradient by x: d_out, turned back.

    y = R x gives dx = Rᵀ dy, and the transpose of a rotation is the rotation by the opposite angle.
    """
    return rotate(d_out, -angles)
