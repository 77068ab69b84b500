"""An attention in training mode drops weights out with and without gradients: no form of inference is taken."""

import pytest
import torch

from memory_attention.accelerated.attention import Attention


@pytest.mark.parametrize(
    "forced", [{}, {"memory_space": True}, {"kernel": "tiled"}, {"kernel": "axial", "memory_space": True}]
)
def test_training_without_gradients_drops_out(forced: dict[str, object]) -> None:
    attention = Attention(16, 2, dropout=0.5, kv_in_dim=6)
    for name, value in forced.items():
        setattr(attention, name, value)
    query, memory = torch.randn(3, 7, 16), torch.randn(3, 40, 6)
    with torch.no_grad():
        attention.train()
        assert not torch.equal(attention(query, memory, memory), attention(query, memory, memory))
        attention.eval()
        assert torch.equal(attention(query, memory, memory), attention(query, memory, memory))
