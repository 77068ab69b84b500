"""Sizes of an attention that do not fit each other are named."""

import pytest

import memory_attention as ma


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"embedding_dim": 16, "num_heads": 3}, "num_heads 3 does not divide the 16 channels"),
        ({"embedding_dim": 16, "num_heads": 0}, "num_heads is 0, expected at least 1"),
        ({"embedding_dim": 16, "num_heads": 8}, "head dim 2 is not divisible by 4"),
        ({"embedding_dim": 16, "num_heads": 1, "downsample_rate": 3}, "not divisible by downsample_rate 3"),
    ],
)
@pytest.mark.parametrize("package", ["reference", "accelerated"])
def test_constructors(package, arguments, words):
    with pytest.raises(ValueError, match=words):
        getattr(ma, package).RoPEAttention(**arguments)
