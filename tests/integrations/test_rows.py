"""Rows of chosen queries, computed without the whole matrix."""

import pytest
import torch

from live_bytes import LiveBytes
from memory_attention.accelerated import RoPEAttention
from memory_attention.integrations.rows import softmax_rows


def test_no_tensor_is_as_large_as_the_matrix():
    """Of 16 × 24 queries and 3 memories: less at once than one number for each pair."""
    height, width, memories, pointers = 16, 24, 3, 5
    tokens = height * width
    attention = RoPEAttention(32, 1, kv_in_dim=8, rope_k_repeat=True, feat_sizes=(width, height))
    q, k = torch.randn(1, tokens, 32), torch.randn(1, memories * tokens + pointers, 8)
    with LiveBytes(q, k) as live, torch.no_grad():
        rows = softmax_rows(attention, q, k, torch.tensor([5, 300, 7]), (height, width), pointers)
    assert rows.shape == (1, 1, 3, memories * tokens + pointers)
    assert live.peak < 4 * tokens * len(k[0]) / 2


@pytest.mark.parametrize(("keys", "repeats"), [(2 * 15 + 1, True), (2 * 15, False)])
def test_keys_that_are_no_whole_frames_are_refused(keys, repeats):
    attention = RoPEAttention(32, 2, kv_in_dim=8, rope_k_repeat=repeats, feat_sizes=(5, 3))
    with pytest.raises(ValueError, match=f"{keys} rotated keys"):
        softmax_rows(attention, torch.randn(1, 15, 32), torch.randn(1, keys + 2, 8), torch.tensor([4]), (3, 5), 2)
