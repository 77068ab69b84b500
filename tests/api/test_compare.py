"""Comparing two models step by step."""

import memory_attention as ma
from memory_attention.inputs import draw_inputs

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
