"""The attention by itself: who hooks, replaces or learns a part of it gets what he expects."""

import pytest
import torch

from memory_attention.accelerated import Attention, RoPEAttention
from memory_attention.accelerated import attention as attention_module
from memory_attention.accelerated.choice import PLAIN
from memory_attention.accelerated.kernels import scaled_dot_product_attention


def test_dropout_would_break_memory_space():
    """Why training takes the plain form: with weights that do not sum to one the bias is wrong."""
    torch.manual_seed(0)
    attention = RoPEAttention(256, 1, dropout=0.5, kv_in_dim=64, rope_k_repeat=True, feat_sizes=(4, 4)).train()
    attention.memory_space = True
    query, key = torch.randn(1, 1, 16, 256), torch.randn(1, 1, 64, 256)
    assert attention._form(query, key, torch.randn(1, 64, 64)) == PLAIN
    attention.eval()
    with torch.no_grad():
        assert attention._form(query, key, torch.randn(1, 64, 64)).memory_space
    # With gradients the fused kernel's backward is worth more than the FLOPs.
    assert attention._form(query.requires_grad_(), key, torch.randn(1, 64, 64)) == PLAIN


def test_a_module_in_the_place_of_v_proj_is_called():
    """A low-rank adapter, say: its weight alone is not what it computes."""

    class Doubled(torch.nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    attention = RoPEAttention(16, 1, kv_in_dim=4, rope_k_repeat=True, feat_sizes=(4, 4)).eval()
    attention.memory_space = True
    x, memory = torch.randn(1, 16, 16), torch.randn(1, 32, 4)
    with torch.no_grad():
        sound = attention(x, memory, memory)
        doubled = Doubled(4, 16)
        doubled.load_state_dict(attention.v_proj.state_dict())
        attention.v_proj = doubled
        expected = 2 * (sound - attention.out_proj.bias) + attention.out_proj.bias
        torch.testing.assert_close(attention(x, memory, memory), expected)


def test_who_hooks_the_values_sees_them():
    attention = RoPEAttention(16, 1, kv_in_dim=4, rope_k_repeat=True, feat_sizes=(4, 4)).eval()
    attention.memory_space = True
    seen = []
    attention.v_proj.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    with torch.no_grad():
        attention(torch.randn(1, 16, 16), torch.randn(1, 32, 4), torch.randn(1, 32, 4))
    assert seen == [(1, 32, 16)]


@pytest.mark.parametrize("globally", [False, True])
def test_who_hooks_the_keys_keeps_them(globally):
    """Keys are rotated in place only where nobody else holds them."""
    attention = RoPEAttention(16, 1, kv_in_dim=4, rope_k_repeat=True, feat_sizes=(4, 4)).eval()
    memory, seen = torch.randn(1, 32, 4), []

    def keep(module, args, output):
        if module is attention.k_proj:
            seen.append(output)

    register = torch.nn.modules.module.register_module_forward_hook if globally else None
    handle = register(keep) if register else attention.k_proj.register_forward_hook(keep)
    with torch.no_grad():
        attention(torch.randn(1, 16, 16), memory, memory)
    handle.remove()
    with torch.no_grad():
        assert torch.equal(seen[0], attention.k_proj(memory))


@pytest.fixture
def attention():
    """An attention small enough to look at, on its fast path."""
    torch.manual_seed(0)
    made = RoPEAttention(16, 2, kv_in_dim=2, rope_k_repeat=True, feat_sizes=(4, 4)).double().eval()
    made.memory_space = True
    return made


def test_a_kernel_that_is_forced_stays_so_where_values_are_watched(attention, monkeypatch):
    asked = []
    spied = scaled_dot_product_attention
    monkeypatch.setattr(
        attention_module, "scaled_dot_product_attention", lambda *a: (asked.append(a[4]), spied(*a))[1]
    )
    attention.kernel = "textbook"
    attention.v_proj.register_forward_hook(lambda *_: None)
    with torch.no_grad():
        attention(torch.randn(1, 16, 16).double(), *[torch.randn(1, 32, 2).double()] * 2)
    assert asked == ["textbook"]


def test_another_forward_of_the_values_is_called(attention):
    """As `accelerate` replaces it, on the module itself."""
    x, memory = torch.randn(1, 16, 16).double(), torch.randn(1, 32, 2).double()
    sound = attention.v_proj.forward
    with torch.no_grad():
        bias = attention.out_proj.bias
        expected = 2 * (attention(x, memory, memory) - bias) + bias
        attention.v_proj.forward = lambda values: 2 * sound(values)
        torch.testing.assert_close(attention(x, memory, memory), expected)


@pytest.mark.parametrize("learns", ["values", "projection"])
def test_gradients_asked_of_the_values_alone_take_the_plain_form(attention, learns):
    attention.requires_grad_(False)
    attention.kernel, attention.memory_space = "tiled", False
    x, memory = torch.randn(1, 16, 16).double(), torch.randn(1, 32, 2).double()
    asked = memory.clone() if learns == "values" else attention.v_proj.weight
    asked.requires_grad_()
    attention(x, memory, asked if learns == "values" else memory).sum().backward()
    assert asked.grad.abs().sum() > 0


def test_weights_of_another_kind_are_left_to_their_module(attention):
    """Quantised weights, say: what they are as numbers is theirs to know."""

    class Other(torch.Tensor):
        pass

    query, key, memory = torch.randn(1, 2, 16, 8), torch.randn(1, 2, 64, 8), torch.randn(1, 64, 2)
    with torch.no_grad():
        assert attention._form(query, key, memory).memory_space
        weight = attention.v_proj.weight.detach().as_subclass(Other)
        attention.v_proj.weight = torch.nn.Parameter(weight)
        assert type(attention.v_proj.weight) is Other
        assert not attention._form(query, key, memory).memory_space


def test_gradients_asked_of_the_keys_alone_take_the_plain_form():
    """The learned places in time ask for gradients, even where the network is frozen."""
    attention = (
        RoPEAttention(16, 1, kv_in_dim=4, rope_k_repeat=True, feat_sizes=(4, 4)).eval().requires_grad_(False)
    )
    attention.kernel, memory, pos = "tiled", torch.randn(1, 32, 4), torch.zeros(1, 32, 4, requires_grad=True)
    attention(torch.randn(1, 16, 16), memory + pos, memory).sum().backward()
    assert pos.grad.abs().sum() > 0


def test_attention_dropout_acts_on_the_weights():
    attention = Attention(embedding_dim=8, num_heads=2, dropout=0.5).train()
    x = torch.randn(1, 5, 8)
    assert not torch.equal(attention(x, x, x), attention(x, x, x))
    # With dropout 0.5 a single weight of 1 becomes 0 or 2, for each head.
    one = x[:, :1]
    value = attention.v_proj(one).unflatten(-1, (2, 4))
    outputs = [attention.out_proj((value * torch.tensor([[a], [b]])).flatten(-2)) for a in (0, 2) for b in (0, 2)]
    result = attention(one, one, one)
    assert any(torch.allclose(result, output, atol=1e-6) for output in outputs)


def test_the_kernel_is_asked_for_the_dropout_in_training_only(monkeypatch):
    asked, plain = [], attention_module.scaled_dot_product_attention
    monkeypatch.setattr(
        attention_module, "scaled_dot_product_attention", lambda *given: (asked.append(given[3]), plain(*given))[1]
    )
    attention, x = Attention(8, 2, dropout=0.2), torch.randn(1, 5, 8)
    for training in (True, False):
        attention.train(training)(x, x, x)
    assert asked == [0.2, 0.0]


def test_gradients_asked_of_the_queries_alone_take_the_plain_form(attention):
    """A frozen network still passes them on to what made the frame's features."""
    attention.requires_grad_(False)
    attention.kernel, attention.memory_space = "tiled", False
    query, key = torch.randn(1, 2, 16, 8).double(), torch.randn(1, 2, 32, 8).double()
    memory = torch.randn(1, 32, 2).double()
    assert attention._form(query, key, memory).kernel == "tiled"
    assert attention._form(query.requires_grad_(), key, memory) == PLAIN
