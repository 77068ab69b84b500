"""What an attention map cannot be asked for is named; its values are held by the properties."""

import pytest

import memory_attention as ma
from memory_attention.inputs import draw_inputs

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
    ],
)
def test_what_is_not_there_is_named(asked, kind, message, tiny_model):
    with pytest.raises(kind, match=message):
        tiny_model.attention_map(*GOOD, **asked)
