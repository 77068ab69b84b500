"""Queries in memory space, where nobody would miss the keys: who watches, learns or replaces a part gets it."""

import pytest
import torch

from memory_attention.accelerated import RoPEAttention
from memory_attention.accelerated import attention as attention_module
from memory_attention.rules.record import unrecorded


@pytest.fixture
def attention():
    """Of two heads, on the way of queries in memory space."""
    torch.manual_seed(0)
    made = RoPEAttention(16, 2, kv_in_dim=3, rope_k_repeat=True, feat_sizes=(5, 3)).double().eval()
    made.kernel, made.memory_space = "axial", True
    return made


@pytest.fixture
def tokens():
    """Queries of a 3 × 5 grid, and two memories and a pointer as keys and as values."""
    torch.manual_seed(1)
    return torch.randn(2, 15, 16).double(), *torch.randn(2, 2, 31, 3).double()


@pytest.fixture
def calls(monkeypatch):
    """How often the kernel was called."""
    seen, kernel = [], attention_module.axial_attention
    monkeypatch.setattr(attention_module, "axial_attention", lambda *a: (seen.append(a), kernel(*a))[1])
    return seen


def call(attention, tokens):
    with torch.no_grad():
        return attention(*tokens, num_k_exclude_rope=1)


@pytest.mark.parametrize("name", ["k_proj", "v_proj"])
def test_who_hooks_keys_or_values_sees_them(name, attention, tokens, calls):
    expected, seen = call(attention, tokens), []
    assert len(calls) == 1
    getattr(attention, name).register_forward_hook(lambda *given: seen.append(given[2].shape))
    torch.testing.assert_close(call(attention, tokens), expected)
    assert (len(calls), seen) == (1, [(2, 31, 16)])


@pytest.mark.parametrize("name", ["k_proj", "v_proj"])
def test_a_module_in_the_place_of_a_projection_is_called(name, attention, tokens, calls):
    class Other(torch.nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    doubled = Other(3, 16).double()
    doubled.load_state_dict(getattr(attention, name).state_dict())
    setattr(attention, name, doubled)
    result = call(attention, tokens)
    with torch.no_grad():
        plain = torch.nn.Linear(3, 16).double()
        plain.load_state_dict({key: 2 * value for key, value in doubled.state_dict().items()})
        setattr(attention, name, plain)
    assert not calls
    torch.testing.assert_close(result, call(attention, tokens))
    assert len(calls) == 1


def test_who_listens_hears_keys_and_values(attention, tokens, calls):
    heard = {}
    with torch.no_grad():
        result = attention(*tokens, 1, record=lambda name, value: heard.setdefault(name, value))
    assert {"k", "v", "k_rotated"} <= heard.keys()
    assert not calls
    torch.testing.assert_close(call(attention, tokens), result)


@pytest.mark.parametrize("asked", ["q", "k", "v", "k_proj.weight", "k_proj.bias", "v_proj.weight", "q_proj.bias"])
def test_gradients_asked_of_any_part_take_the_plain_way(asked, attention, tokens, calls):
    attention.requires_grad_(False)
    parts = dict(zip("qkv", tokens, strict=True)) | dict(attention.named_parameters())
    parts[asked].requires_grad_()
    attention(*tokens, num_k_exclude_rope=1).square().sum().backward()
    assert parts[asked].grad.abs().sum() > 0
    assert not calls


def _in_place(attention, new):
    attention.k_proj.weight.mul_(0).add_(new["weight"])


def _past_the_counter_of_versions(attention, new):
    attention.k_proj.weight.data.copy_(new["weight"])


def _by_loading(attention, new):
    attention.k_proj.load_state_dict(new)


def _by_assignment(attention, new):
    attention.k_proj.weight = torch.nn.Parameter(new["weight"])


def _to_another_dtype_and_back(attention, new):
    attention.float()
    attention.k_proj.weight.copy_(new["weight"])
    attention.double()


@pytest.mark.parametrize(
    "change", [_in_place, _past_the_counter_of_versions, _by_loading, _by_assignment, _to_another_dtype_and_back]
)
def test_weights_that_change_are_seen(change, attention, tokens, calls):
    """Nothing that was made of the old ones is kept."""
    before = call(attention, tokens)
    with torch.no_grad():
        # Numbers that float32 holds exactly.
        new = {key: torch.randint_like(value, -3, 4) / 4 for key, value in attention.k_proj.state_dict().items()}
        change(attention, new)
    after = call(attention, tokens)
    attention.kernel = "textbook"
    torch.testing.assert_close(after, call(attention, tokens), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(before, after, atol=1e-3)
    assert len(calls) == 2


@pytest.mark.parametrize(("grid", "pointers", "said"), [((3, 4), 1, "grid"), ((3, 5), 2, "whole multiple")])
def test_what_does_not_fit_is_refused_as_ever(grid, pointers, said, attention, tokens):
    with torch.no_grad(), pytest.raises(ValueError, match=said):
        attention(*tokens, num_k_exclude_rope=pointers, grid=grid, record=unrecorded)


def test_a_subclass_that_encodes_places_otherwise_is_asked(attention, tokens, calls):
    class Unrotated(RoPEAttention):
        def _encode(self, query, key, *_, **__):
            return query, key

    other = Unrotated(16, 2, kv_in_dim=3, rope_k_repeat=True, feat_sizes=(5, 3)).double().eval()
    other.load_state_dict(attention.state_dict())
    other.kernel, other.memory_space = "axial", True
    rotated, found = call(attention, tokens), call(other, tokens)
    assert len(calls) == 1
    other.kernel = "textbook"
    torch.testing.assert_close(found, call(other, tokens))
    assert (found - rotated).abs().max() > 1e-3


@pytest.mark.parametrize(("frames", "memories"), [(2, 3), (3, 1)])
def test_objects_that_do_not_fit_together_are_refused(frames, memories, attention):
    tokens = torch.randn(frames, 15, 16).double(), *torch.randn(2, memories, 31, 3).double()
    with pytest.raises(RuntimeError, match="must match|expanded size"):
        call(attention, tokens)
