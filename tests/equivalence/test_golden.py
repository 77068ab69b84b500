"""Values that both backends must give, and what is known of them by hand."""

import json

import numpy as np

from golden import PATH, check_golden, golden_case


def test_golden_values(backend):
    check_golden("reference")
    check_golden(backend)


def test_the_golden_values_obey_what_is_known_by_hand():
    """Facts about the golden numbers themselves that need no code of ours."""
    _, weights, inputs = golden_case()
    golden = {name: np.array(values) for name, values in json.loads(PATH.read_text()).items()}
    expected = (inputs.curr + inputs.curr_pos / 10).ravel()
    np.testing.assert_allclose(golden["input"], expected, atol=1e-15)
    # Undo the last norm's weight and bias: each token has mean 0 and, but for eps, variance 1.
    prefix = "memory_attention.norm"
    plain = (golden["norm"].reshape(6, 16) - weights[f"{prefix}.bias"]) / weights[f"{prefix}.weight"]
    np.testing.assert_allclose(plain.mean(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose((plain**2).mean(axis=1), 1, atol=1e-4)
    # Token 0 of the first norm is dim: its variance is v / (v + eps), computed here from the input.
    token = expected.reshape(6, 16)[0]
    prefix = "memory_attention.layers.0.norm1"
    plain = (golden["layers.0.norm1"].reshape(6, 16)[0] - weights[f"{prefix}.bias"]) / weights[f"{prefix}.weight"]
    variance = ((token - token.mean()) ** 2).mean()
    np.testing.assert_allclose((plain**2).mean(), variance / (variance + 1e-5), rtol=1e-9)
