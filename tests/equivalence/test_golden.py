"""Values that both backends must give, and facts that can be worked out by hand."""

import json

import numpy as np

from golden import PATH, check_golden, golden_case
from memory_attention.reference.attention import RoPEAttention, scaled_dot_product_attention
from memory_attention.reference.feed_forward import gelu, glu, relu
from memory_attention.reference.norm import layer_norm
from memory_attention.reference.position import rotary_angles, rotate, sine_encoding_1d, sine_encoding_2d


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


def test_layer_norm_by_hand():
    # Mean 2, biased variance 1; the unbiased one would be 2.
    result = layer_norm(np.array([1.0, 3.0]), np.array([1.0, 10.0]), np.array([0.0, 5.0]))
    np.testing.assert_allclose(result, [-1 / np.sqrt(1.00001), 5 + 10 / np.sqrt(1.00001)], rtol=1e-14)


def test_rotary_angles_by_hand():
    # Head dim 8, theta 10000: θ = 1, 10000^(−1/2) = 0.01. On a grid 3 wide token 5 is at x = 2, y = 1.
    angles = rotary_angles(2, 3, 8)
    np.testing.assert_allclose(angles[0], 0)
    np.testing.assert_allclose(angles[2], [2, 0.02, 0, 0])
    np.testing.assert_allclose(angles[3], [0, 0, 1, 0.01])
    np.testing.assert_allclose(angles[5], [2, 0.02, 1, 0.01])


def test_rotation_by_hand():
    # A quarter turn takes (1, 0) to (0, 1) and (0, 1) to (−1, 0).
    x = np.array([[1.0, 0.0, 0.0, 1.0]])
    np.testing.assert_allclose(rotate(x, np.full((1, 2), np.pi / 2)), [[0, 1, -1, 0]], atol=1e-15)


def test_sine_encodings_by_hand():
    # One place, four channels: sin and cos of 2π for y, then for x; 1e-6 keeps the angle just short of it.
    np.testing.assert_allclose(sine_encoding_2d(1, 1, 4)[0, 0], [0, 1, 0, 1], atol=1e-5)
    # Two rows: the first is at half a turn. Columns do not touch the first half of the channels.
    encoding = sine_encoding_2d(2, 3, 4)
    np.testing.assert_allclose(encoding[0, :, 0], np.sin(np.pi), atol=1e-5)
    np.testing.assert_allclose(encoding[0, :, 1], -1, atol=1e-5)
    np.testing.assert_allclose(encoding[:, 0, 3], np.cos(2 * np.pi / 3), atol=1e-5)
    # Time: sines first, then cosines, of 2 and of 2 / 10000^(2·1/4) = 0.02 twice each.
    expected = [np.sin(2), np.sin(2), np.sin(0.02), np.sin(0.02), np.cos(2), np.cos(2), np.cos(0.02), np.cos(0.02)]
    np.testing.assert_allclose(sine_encoding_1d(np.array([2.0]), 8)[0], expected, atol=1e-15)


def test_attention_by_hand():
    # Logits 0 and ln 3 after the division by √4: weights 1/4 and 3/4.
    query = np.array([[[[2.0, 0, 0, 0]]]])
    key = np.array([[[[0.0, 0, 0, 0], [np.log(3), 0, 0, 0]]]])
    value = np.array([[[[4.0], [8.0]]]])
    np.testing.assert_allclose(scaled_dot_product_attention(query, key, value), [[[[7.0]]]], rtol=1e-14)


def test_one_key_gives_its_value_back():
    # Softmax of a single logit is 1, wherever the query is and however the key is rotated.
    attention = RoPEAttention(embedding_dim=4, num_heads=1)
    rng = np.random.default_rng(0)
    query, key = rng.standard_normal((2, 1, 1, 4))
    expected = attention.out_proj(attention.v_proj(key))
    np.testing.assert_allclose(attention(query, key, key), expected, rtol=1e-12)


def test_activations_by_hand():
    np.testing.assert_allclose(relu(np.array([-1.0, 2.0])), [0, 2])
    # Φ(1) = 0.841344746068543, from tables of the normal distribution.
    np.testing.assert_allclose(gelu(np.array([1.0, -1.0])), [0.841344746068543, -0.158655253931457], rtol=1e-12)
    # Gate 0 halves, gate ln 3 keeps three quarters.
    np.testing.assert_allclose(glu(np.array([2.0, 4.0, 0.0, np.log(3)])), [1, 3], rtol=1e-14)
