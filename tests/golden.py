"""Writes golden.json: one small case, computed by the reference in float64. Run it only on purpose.

python tests/golden.py
"""

import json
from pathlib import Path

import numpy as np

import memory_attention as ma
from cases import random_weights
from checks import error
from memory_attention.inputs import Inputs
from memory_attention.tolerances import bound

PATH = Path(__file__).with_name("golden.json")
STEPS = (
    "input",
    "layers.0.norm1",
    "layers.0.self_attn.q_rotated",
    "layers.0.self_attention",
    "layers.0.cross_attn_image.k_rotated",
    "layers.0.cross_attention",
    "layers.0.feed_forward",
    "norm",
)


def golden_case():
    """The tiny config with random weights on a 2 × 3 grid, two memories and three pointer tokens."""
    config = ma.load_config("tiny")
    rng = np.random.default_rng(20240801)
    weights = random_weights(config, rng)
    curr, curr_pos = rng.standard_normal((2, 6, 1, 16))
    # A dim token: its variance is near eps, so that eps is seen.
    curr[0] = 0.003 * curr[0] - 0.1 * curr_pos[0]
    memory, memory_pos = rng.standard_normal((2, 15, 1, 8))
    return config, weights, Inputs(curr, memory, curr_pos, memory_pos, 3, (2, 3))


def check_golden(backend: str) -> None:
    """The backend gives the golden values."""
    config, weights, inputs = golden_case()
    device = None if backend == "reference" else "cpu"
    steps = ma.load(config, backend, weights, device=device, dtype="float64").trace(*inputs)
    expected = json.loads(PATH.read_text())
    assert set(expected) == set(STEPS)
    for name, values in expected.items():
        assert error(steps[name].ravel(), np.array(values)) <= bound("float64", 30), name


if __name__ == "__main__":
    config, weights, inputs = golden_case()
    steps = ma.load(config, "reference", weights, dtype="float64").trace(*inputs, names=STEPS)
    PATH.write_text(json.dumps({name: step.ravel().tolist() for name, step in steps.items()}) + "\n")
