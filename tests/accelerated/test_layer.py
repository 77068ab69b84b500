"""Where each dropout acts: in its place stands a factor of its own, which the formula shows again."""

import torch
from torch import nn

from memory_attention.accelerated import Attention, MemoryAttentionLayer
from memory_attention.accelerated.cross_attention import cross_attention
from memory_attention.accelerated.feed_forward import feed_forward
from memory_attention.accelerated.norm import LayerNorm
from memory_attention.accelerated.self_attention import self_attention


class Times(nn.Module):
    """In the place of a dropout."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def drawn_norm(channels):
    norm = LayerNorm(channels)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def test_feed_forward():
    torch.manual_seed(0)
    x, norm = torch.randn(2, 5, 8), drawn_norm(8)
    first, second = nn.Linear(8, 12), nn.Linear(12, 8)
    result = feed_forward(x, norm, first, torch.relu, Times(3), second, Times(5))
    torch.testing.assert_close(result, x + 5 * second(3 * torch.relu(first(norm(x)))))


def test_the_attentions():
    torch.manual_seed(0)
    x, query_pos, norm = torch.randn(2, 5, 8), torch.randn(2, 5, 8), drawn_norm(8)
    memory, memory_pos = torch.randn(2, 7, 4), torch.randn(2, 7, 4)
    own, cross = Attention(8, 2).eval(), Attention(8, 2, kv_in_dim=4).eval()
    y = norm(x)
    result = self_attention(x, query_pos, norm, own, Times(3), pos_enc_at_attn=True)
    torch.testing.assert_close(result, x + 3 * own(y + query_pos, y + query_pos, y))
    result = cross_attention(x, memory, query_pos, memory_pos, norm, cross, Times(5), True, True)
    torch.testing.assert_close(result, x + 5 * cross(y + query_pos, memory + memory_pos, memory))


def test_every_dropout_of_a_layer_has_its_probability():
    own, cross = Attention(8, 2, dropout=0.2), Attention(8, 2, dropout=0.4, kv_in_dim=4)
    layer = MemoryAttentionLayer("relu", cross, 8, 12, 0.3, False, True, False, own)
    assert [layer.dropout.p, layer.dropout1.p, layer.dropout2.p, layer.dropout3.p] == [0.3] * 4
    assert (layer.self_attn.dropout_p, layer.cross_attn_image.dropout_p) == (0.2, 0.4)
