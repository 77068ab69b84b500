"""Run by `test_axial_triton.py` in a process of its own, in which Triton interprets: no GPU is needed."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from axial_problems import problem, rotated_keys
from cases import grids, seeds
from checks import error
from memory_attention.accelerated.axial_triton import FRAMES, QUERIES, axial_attention, columns_at_once
from memory_attention.accelerated.position import Places
from memory_attention.tolerances import bound


def check(seed, places, placeless, heads=1, frames_given=1, objects=1, tokens=None, dtype="float32", scale=1.0):
    query, *memories, weight, bias = problem(seed, places, placeless, heads, frames_given, objects, tokens)
    rounded = [x.to(getattr(torch, dtype)) for x in (query * scale, *memories, weight, bias)]
    with torch.no_grad():
        result = axial_attention(*rounded, places)
    assert result.dtype == getattr(torch, dtype)
    assert error(result.double().numpy(), rotated_keys(*rounded, places)) <= bound(dtype, 100.0 * max(1.0, scale))


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
    frames, placeless = counts
    check(seed, Places(*grid, frames, theta), placeless, heads, 1 if shared else objects, objects, dtype=dtype)


def test_what_is_more_than_a_program_takes_at_once():
    """Of queries, columns, frames and memories without a place: each is one more than a whole number of blocks."""
    columns = columns_at_once(torch.float32)
    check(1, Places(3, columns + 1, FRAMES + 1, 100.0), columns * FRAMES + 1)
    check(2, None, 3, heads=2, objects=2, tokens=QUERIES + 1)


def test_logits_beyond_the_largest_number_of_exp2():
    check(3, Places(2, 3, 2, 100.0), 3, scale=30.0)
