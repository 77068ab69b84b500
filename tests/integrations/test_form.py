"""What a graph can be."""

import pytest

from memory_attention.integrations.form import Form


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"opset": 19}, "opset is 19, expected 18 or 23"),
        ({"dtype": "bfloat16"}, "dtype is 'bfloat16', expected one of float32, float16, float64"),
        ({"dtype": "float64"}, "dtype is 'float64', which RotaryEmbedding of opset 23 has not: expected opset 18"),
        ({"grid": (0, 5)}, r"grid is \(0, 5\), expected at least one row and one column"),
        ({"parts": 0}, "parts is 0, expected at least 1"),
        ({"parts": 2}, "parts is 2, expected a fixed grid with at least so many tokens"),
        ({"parts": 16, "grid": (3, 5)}, "parts is 16, expected a fixed grid with at least so many tokens"),
    ],
)
def test_what_cannot_be(said, message):
    with pytest.raises(ValueError, match=message):
        Form(**said)


def test_what_can_be():
    assert Form(18, "float64", (3, 5), 15).num_tokens == 15
    assert Form().num_tokens == "tokens"
