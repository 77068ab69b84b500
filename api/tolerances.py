"""How far a result may be from the truth, the reference in float64: the one table for tests and `compare`.

Each bound is relative to the largest magnitude of the truth, and holds for logits up to 1 in magnitude;
the error of a softmax grows with its logits, so `bound` grows with them.
"""

BOUNDS = {
    # Rounding 2⁻⁵³, times sums of some thousand terms in any order.
    "float64": 1e-12,
    # Rounding 2⁻²⁴, likewise.
    "float32": 1e-5,
    # Rounding 2⁻¹¹ at each of some ten steps a layer; sums are kept in float32.
    "float16": 5e-3,
    # Rounding 2⁻⁸, likewise.
    "bfloat16": 4e-2,
}

# Whatever the logits, a result that is off by more than this is no result.
LARGEST = 0.3

# One unit in the last place, relative to a number of that size.
EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}

# How many times as far from the truth as the textbook formula in the same dtype a whole may be. In root mean
# squares: the largest of a few errors is a matter of chance.
TIMES_TEXTBOOK = 2.0

# How far a gradient in float64 may be from a slope that was measured, relative to the gradient's length.
FINITE_DIFFERENCES = 1e-6


def bound(dtype: str, largest_logit: float = 1.0) -> float:
    """The relative error allowed in `dtype` where the attention's logits reach `largest_logit`."""
    return min(BOUNDS[dtype] * max(1.0, largest_logit), LARGEST)


def bound_beside_textbook(dtype: str, textbook_error: float) -> float:
    """The root mean square error allowed in `dtype` where the textbook formula's, in the same dtype, is given.

    Both are relative to the root mean square of the truth. A unit in the last place is added: a result is rounded
    at the end, and where the textbook happens to hit the truth, twice nothing would allow nothing.
    """
    return TIMES_TEXTBOOK * textbook_error + EPSILON[dtype]
