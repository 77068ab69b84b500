"""Drawn inputs: their sizes worked by hand, and another seed is another frame."""

import numpy as np

import memory_attention as ma
from memory_attention.inputs import draw_inputs

CONFIG = ma.load_config("sam2.1_hiera_t")


def test_sizes_by_hand():
    # A pointer of 256 channels is four tokens of 64.
    inputs = draw_inputs(CONFIG, seed=1, memories=2, pointers=3, objects=5, grid=(2, 3))
    assert inputs.curr.shape == inputs.curr_pos.shape == (6, 5, 256)
    assert inputs.memory.shape == inputs.memory_pos.shape == (2 * 6 + 3 * 4, 5, 64)
    assert (inputs.num_obj_ptr_tokens, inputs.grid) == (12, (2, 3))
    assert draw_inputs(ma.load_config("tiny"), pointers=3).num_obj_ptr_tokens == 6


def test_a_seed_is_a_frame():
    first, again, other = (draw_inputs(CONFIG, seed=seed, memories=1, grid=(2, 3)) for seed in (4, 4, 5))
    for name in ("curr", "memory", "curr_pos", "memory_pos"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.isclose(getattr(first, name), getattr(other, name)).all()
    assert not np.isclose(first.curr, first.curr_pos).all()
