"""The one table, so that nobody loosens it unseen."""

import numpy as np
import pytest
import torch

from memory_attention.tolerances import BOUNDS, EPSILON, LARGEST, bound, bound_beside_textbook


def test_the_table():
    assert BOUNDS == {"float64": 1e-12, "float32": 1e-5, "float16": 5e-3, "bfloat16": 4e-2}
    assert LARGEST == 0.3


@pytest.mark.parametrize("name", EPSILON)
def test_a_bound_is_some_units_in_the_last_place(name):
    """From the dtypes themselves: half precision has a few of them, where sums are kept in float32."""
    assert EPSILON[name] == torch.finfo(getattr(torch, name)).eps
    units = BOUNDS[name] / EPSILON[name]
    assert (5 < units < 6) if "16" in name else (80 < units < 5000)


@pytest.mark.parametrize("name", BOUNDS)
def test_it_grows_with_the_largest_logit_from_one_on(name):
    assert [bound(name, logit) for logit in (0.0, 0.5, 1.0)] == [BOUNDS[name]] * 3
    for logit in (1.5, 3.0, 7.0):
        assert bound(name, logit) == pytest.approx(min(logit * BOUNDS[name], 0.3))
    assert bound(name, 1e20) == 0.3
    assert bound(name) == BOUNDS[name]
    assert np.isfinite(bound(name, 1e300))


@pytest.mark.parametrize("name", BOUNDS)
def test_beside_the_textbook_twice_its_error_is_allowed_and_the_last_rounding(name):
    rounding = EPSILON[name]
    assert bound_beside_textbook(name, 0.0) == rounding
    assert bound_beside_textbook(name, 3 * rounding) == pytest.approx(7 * rounding)


@pytest.mark.parametrize("name", BOUNDS)
def test_beside_a_textbook_that_rounds_as_usual_it_is_the_tighter_rule(name):
    """Or it would catch nothing: a network that rounds in some ten steps is off by about a unit."""
    assert bound_beside_textbook(name, EPSILON[name]) < BOUNDS[name]
