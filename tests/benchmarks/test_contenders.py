"""Contenders compute the same from the same."""

import numpy as np
import torch

import memory_attention as ma
from memory_attention.benchmarks.cases import Case, Setting
from memory_attention.benchmarks.contenders import available, build_contender, one_frame
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound

SETTING = Setting("tiny", "cpu", "float32", seed=0, turns=3)


def test_contenders_compute_the_same():
    config = ma.load_config("sam2.1_hiera_t")
    weights = ma.load(config).weights
    inputs = draw_inputs(config, memories=2, objects=2, grid=(4, 4))
    shared = inputs._replace(
        curr=np.repeat(inputs.curr[:, :1], 2, 1), curr_pos=np.repeat(inputs.curr_pos[:, :1], 2, 1)
    )
    truth = ma.load(config, weights=weights, dtype="float64")(
        *(array.astype(float) if isinstance(array, np.ndarray) else array for array in shared)
    )
    for name in available("cpu", compiled=False):
        contender = build_contender(name, config, weights, Case(2, 2, 4), SETTING)
        with torch.inference_mode():
            out = contender.to_numpy(one_frame(contender, inputs)())
        assert np.abs(out - truth).max() <= bound("float32", 20) * np.abs(truth).max(), name


def test_only_the_fast_path_and_the_reference_are_given_one_frame_for_all():
    config = ma.load_config("sam2.1_hiera_t")
    weights, inputs = ma.load(config).weights, draw_inputs(config, memories=1, objects=2, grid=(4, 4))
    for name in available("cpu", compiled=True):
        contender, given = build_contender(name, config, weights, Case(2, 2, 4), SETTING), []
        contender.attention = lambda given=given, **arguments: given.append(arguments["curr"].shape[1])
        one_frame(contender, inputs)()
        assert given == [1 if name in ("fast", "reference", "fast compiled") else 2], name
