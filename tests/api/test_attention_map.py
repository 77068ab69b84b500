"""What an attention map cannot be asked for is named; its values are held by the properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import memory_attention as ma
from cases import seeds
from memory_attention.attention_map import attention_rows, compared_steps
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound

pytestmark = pytest.mark.usefixtures("unchecked_shapes")
GOOD = draw_inputs(ma.load_config("tiny"), memories=2, pointers=3, objects=2)


@pytest.mark.parametrize(
    ("asked", "kind", "message"),
    [
        ({"layer": "0", "queries": 0}, TypeError, "layer is '0', expected a whole number"),
        ({"layer": 1, "queries": 0}, ValueError, "layer is 1, expected -1 to 0"),
        ({"layer": 0, "kind": "both", "queries": 0}, ValueError, "kind is 'both', expected 'self' or 'cross'"),
        ({"layer": 0, "queries": "first"}, TypeError, "queries is 'first'"),
        ({"layer": 0, "queries": 1.5}, TypeError, "queries is 1.5"),
        ({"layer": 0, "queries": [3, 16]}, ValueError, "queries has token 16, expected 0 to 15"),
        ({"layer": 0, "queries": [3, -1]}, ValueError, "queries has token -1, expected 0 to 15"),
    ],
)
def test_what_is_not_there_is_named(asked, kind, message, tiny_model):
    with pytest.raises(kind, match=message):
        tiny_model.attention_map(*GOOD, **asked)


def test_layers_are_counted_from_the_end_too():
    network = ma.load_config("sam2.1_hiera_t").memory_attention
    assert [compared_steps(network, layer, "cross")[0][:8] for layer in (-4, -3, -1, 0, 2)] == [
        f"layers.{number}" for number in (0, 1, 3, 0, 2)
    ]


@given(seed=seeds, chosen=st.lists(st.integers(0, 4), min_size=1))
def test_rows_of_half_precision_are_taken_in_float32(seed, chosen):
    """Logits of some hundred would be off by a tenth; rows come in the order in which they were asked for."""
    rng = np.random.default_rng(seed)
    query, key = ((8 * rng.standard_normal((2, 3, count, 12))).astype(np.float16) for count in (5, 7))
    logits = query.astype(np.float64) @ key.astype(np.float64).swapaxes(-1, -2) / 12**0.5
    truth = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    rows = attention_rows(query, key, chosen)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, truth[:, :, chosen], atol=bound("float32", 100))


@pytest.mark.parametrize("kind", ["self", "cross"])
def test_rows_weigh_the_values_as_the_network_did(kind, tiny_model):
    """So they are those of the rotated queries and keys."""
    part = {"self": "self_attn", "cross": "cross_attn_image"}[kind]
    assert getattr(tiny_model.config.memory_attention.layer, f"{kind}_attention").rotary
    steps = tiny_model.trace(*GOOD)
    rows = tiny_model.attention_map(*GOOD, layer=0, kind=kind, queries="all")
    attended = rows @ steps[f"layers.0.{part}.v"]
    merged = attended.swapaxes(1, 2).reshape(attended.shape[0], attended.shape[2], -1)
    true = steps[f"layers.0.{part}.attended"]
    assert np.abs(merged - true).max() <= bound("float32", 10) * np.abs(true).max()
