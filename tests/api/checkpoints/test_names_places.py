"""Which of several memory attentions a part chooses."""

from memory_attention.checkpoints.names import choose, find_places


def test_a_part_that_is_a_place_is_that_place_and_none_below_it():
    name = "layers.0.cross_attn_image.q_proj.weight"
    places = find_places({"ema": {f"memory_attention.{name}": 1, f"memory_attention.best.{name}": 2}})
    assert [str(place) for place in choose(places, "ema.memory_attention")] == ["ema.memory_attention"]
    assert len(choose(places, "ema")) == 2
