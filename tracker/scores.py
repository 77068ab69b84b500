"""How like two masks are, and what many such numbers say where some are unknown."""

import numpy as np
from jaxtyping import Bool, Float


def standard_error(values: Float[np.ndarray, " n"]) -> float:
    """Of the mean of the values that are not NaN: their standard deviation over the root of their number.

    NaN where there are fewer than two.
    """
    known = values[~np.isnan(values)]
    return float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else float("nan")


def mean(values: Float[np.ndarray, "..."], axis: int) -> Float[np.ndarray, "..."]:
    """The mean of the values that are not NaN; NaN, without a warning, where there are none."""
    counted_values = (~np.isnan(values)).sum(axis=axis)
    return np.where(counted_values > 0, np.nansum(values, axis=axis) / np.maximum(counted_values, 1), np.nan)


def iou(found: Bool[np.ndarray, "*rest S S"], masks: Bool[np.ndarray, "*rest S S"]) -> Float[np.ndarray, "*rest"]:
    """Intersection over union; NaN where there is nothing to find."""
    both, either = (found & masks).sum(axis=(-2, -1)), (found | masks).sum(axis=(-2, -1))
    return np.where(masks.any(axis=(-2, -1)), both / np.maximum(either, 1), np.nan)
