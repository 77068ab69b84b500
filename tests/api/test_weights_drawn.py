"""Drawn weights have the spread that is promised: five standard errors of a sample's standard deviation."""

import numpy as np
import pytest

import memory_attention as ma

SPREAD = {"tiny": 3, "sam2.1_hiera_t": 7}


@pytest.mark.parametrize("name", SPREAD)
def test_the_spread_of_drawn_weights(name):
    for parameter, drawn in ma.draw_weights(ma.load_config(name), SPREAD[name]).items():
        assert drawn.dtype == np.float32, parameter
        if ".norm" in parameter:
            assert (drawn == parameter.endswith("weight")).all(), parameter
            continue
        expected = drawn.shape[1] ** -0.5 if parameter.endswith("weight") else 0.02
        error = 5 * expected / np.sqrt(2 * drawn.size)
        assert abs(np.sqrt(np.mean(np.float64(drawn) ** 2)) - expected) < error, parameter
        assert abs(drawn.mean()) < 5 * expected / np.sqrt(drawn.size), parameter


def test_matrices_of_other_widths_in_and_out_are_among_them():
    weights = ma.draw_weights(ma.load_config("sam2.1_hiera_t"))
    assert weights["memory_attention.layers.1.cross_attn_image.k_proj.weight"].shape == (256, 64)
