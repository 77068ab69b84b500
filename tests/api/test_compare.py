"""Comparing two models step by step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import memory_attention as ma
from memory_attention.compare import StepDifference, _difference
from memory_attention.inputs import Inputs, draw_inputs
from memory_attention.tolerances import BOUNDS

CONFIG = ma.load_config("tiny")
INPUTS = draw_inputs(CONFIG)


def test_compare_sees_a_difference():
    model, other = ma.load(CONFIG, seed=0), ma.load(CONFIG, seed=1)
    steps = {step.step: step for step in ma.compare(model, other, *INPUTS)}
    assert steps["input"].within
    assert not steps["norm"].within
    same = ma.compare(model, ma.load(CONFIG, "accelerated", device="cpu"), *INPUTS)
    assert all(step.within for step in same)
    assert max(step.relative_error for step in same) > 0


def test_the_bound_of_a_step_is_that_of_the_coarser_dtype_times_the_largest_logit_so_far():
    model = ma.load(CONFIG, dtype="float64")
    # Memories so large that some logits are far above 1; few enough queries that all are looked at.
    inputs = Inputs(INPUTS.curr, 5 * INPUTS.memory, *INPUTS[2:])
    trace = model.trace(*inputs)
    for against, table in (("float32", BOUNDS["float32"]), ("bfloat16", BOUNDS["bfloat16"])):
        reach, grown = 1.0, 0
        for step in ma.compare(model, ma.load(CONFIG, dtype=against), *inputs):
            if step.step.endswith((".k", ".k_rotated")):
                query, key = trace[step.step.replace(".k", ".q")], trace[step.step]
                logits = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
                reach = max(reach, np.abs(logits).max())
            assert step.bound == pytest.approx(min(table * reach, 0.3))
            grown += step.bound > table
        assert reach > 5
        assert grown


@given(error=st.sampled_from([0.0, 0.5, 0.999, 1.0, 1.001, 2.0, float("nan"), float("inf")]))
def test_within_is_at_most_the_bound_and_a_number(error):
    assert StepDifference("norm", (1,), error, 1e-5 * error, 1e-5).within == (error <= 1)


def test_errors_are_relative_to_the_largest_of_the_first_model():
    model, other = ma.load(CONFIG, seed=0), ma.load(CONFIG, seed=1)
    truth, result = model.trace(*INPUTS)["norm"], other.trace(*INPUTS)["norm"]
    step = ma.compare(model, other, *INPUTS)[-1]
    assert step.largest_error == pytest.approx(np.abs(truth - result).max())
    assert step.relative_error == pytest.approx(np.abs(truth - result).max() / np.abs(truth).max())


def test_the_bound_is_that_of_the_coarser_dtype_whichever_model_has_it():
    coarse, fine = (ma.load(CONFIG, dtype=dtype) for dtype in ("bfloat16", "float32"))
    for pair in ((coarse, fine), (fine, coarse)):
        assert min(step.bound for step in ma.compare(*pair, *INPUTS)) == BOUNDS["bfloat16"]


def test_where_the_truth_is_zero_the_error_itself_counts():
    assert _difference("norm", np.zeros((2, 3)), np.full((2, 3), 0.5), 1e-5).relative_error == 0.5
    assert _difference("norm", np.zeros((2, 3)), np.zeros((2, 3)), 1e-5).within


def test_other_shapes_are_no_small_error():
    with pytest.raises(ValueError, match=r"norm has shape \(2, 3\), expected \(1, 3\)"):
        _difference("norm", np.ones((1, 3)), np.ones((2, 3)), 1e-5)


def test_what_is_no_model_is_named(tiny_model):
    inputs = draw_inputs(tiny_model.config, memories=2)
    with pytest.raises(TypeError, match="against is NoneType, expected a model"):
        ma.compare(tiny_model, None, *inputs)
    with pytest.raises(TypeError, match="model is str, expected a model"):
        ma.compare("tiny", tiny_model, *inputs)
