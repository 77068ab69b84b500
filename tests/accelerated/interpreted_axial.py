"""Run by `test_axial_triton.py` in a process of its own, in which Triton interprets: no GPU is needed.

The interpreter has no arithmetic in bfloat16.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from axial_problems import check_means, more_than_at_once
from cases import grids, seeds
from memory_attention.accelerated.axial_triton import axial_attention
from memory_attention.accelerated.position import Places


@settings(max_examples=12)
@given(
    seed=seeds,
    grid=grids,
    counts=st.tuples(st.integers(0, 3), st.integers(0, 5)).filter(any),
    heads=st.integers(1, 2),
    objects=st.integers(1, 3),
    shared=st.booleans(),
    theta=st.sampled_from([10000.0, 100.0]),
    dtype=st.sampled_from(["float32", "float16"]),
)
def test_it_is_rotation_and_softmax(seed, grid, counts, heads, objects, shared, theta, dtype):
    (frames, placeless), frames_given = counts, 1 if shared else objects
    sizes = {"heads": heads, "frames_given": frames_given, "objects": objects}
    check_means(axial_attention, Places(*grid, frames, theta), placeless, dtype, seed=seed, **sizes)


def test_what_is_more_than_a_program_takes_at_once():
    for places, placeless, sizes in more_than_at_once("float32"):
        check_means(axial_attention, places, placeless, "float32", **sizes)


def test_the_largest_logit_is_taken_off():
    check_means(axial_attention, Places(2, 3, 2, 100.0), 3, "float32", scale=30.0)
