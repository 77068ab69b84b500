"""Numbers that are none, or that a dtype does not hold: found in one pass, and said in a warning."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

# The largest finite number of each dtype.
LARGEST = {
    "float16": 65504.0,
    "bfloat16": (2 - 2.0**-7) * 2.0**127,
    "float32": (2 - 2.0**-23) * 2.0**127,
    "float64": (2 - 2.0**-52) * 2.0**1023,
}


def warn_of_numbers(inputs: Mapping[str, Any], result: Any, dtype: str, stacklevel: int) -> None:
    """Warn of every input with NaN, infinity, or numbers that `dtype` does not hold; if none, of such a result.

    A GPU is waited for once, when all its work is queued.
    """
    *of_inputs, of_result = largest_magnitudes([*inputs.values(), result])
    fine = True
    for name, magnitude in zip(inputs, of_inputs, strict=True):
        message = None
        if not np.isfinite(magnitude):
            message = f"{name} has values that are NaN or infinite"
        elif magnitude > LARGEST[dtype]:
            message = f"{name} has values beyond {LARGEST[dtype]:g}, the largest number of {dtype}"
        if message is not None:
            fine = False
            warnings.warn(message, RuntimeWarning, stacklevel=stacklevel + 1)
    if fine and not np.isfinite(of_result):
        message = "the result has values that are NaN or infinite, though the inputs have none"
        warnings.warn(message, RuntimeWarning, stacklevel=stacklevel + 1)


def largest_magnitudes(arrays: list[Any]) -> list[Any]:
    """The largest magnitude in each array, NaN where it has one; on a GPU all are waited for at once.

    The arrays are all NumPy's or all tensors.
    """
    if isinstance(arrays[0], np.ndarray):
        return [np.longdouble(np.maximum(array.max(), -array.min())) for array in arrays]
    import torch

    # Extremes first: of a number the magnitude would be as large as the array.
    device = arrays[0].device
    extremes = torch.stack([extreme.to(device) for array in arrays for extreme in array.detach().aminmax()])
    return extremes.abs().unflatten(0, (-1, 2)).amax(dim=1).tolist()
