"""What is asked for is refused before it takes the memory."""

import pytest

import memory_attention as ma
from memory_attention.inputs import draw_inputs

CONFIG = ma.load_config("tracker")


@pytest.mark.parametrize(
    "wishes", [{"grid": (90_000, 17)}, {"grid": (10**19, 1)}, {"memories": 10**9}, {"objects": 10**6}]
)
def test_inputs_beyond_the_limit_are_not_drawn(wishes):
    with pytest.raises(ValueError, match=r"a grid of \d+ × \d+ with \d+ memories .* the limit of 1.07 GB"):
        draw_inputs(CONFIG, **wishes)


def test_the_limit_may_be_raised(monkeypatch):
    monkeypatch.setenv("MEMORY_ATTENTION_LARGEST", "1e5")
    with pytest.raises(ValueError, match=r"more than the limit of 0.0001 GB"):
        draw_inputs(CONFIG, memories=2)
    monkeypatch.setenv("MEMORY_ATTENTION_LARGEST", "1e7")
    assert draw_inputs(CONFIG, memories=2).memory.shape[2] == CONFIG.memory_attention.memory_dim
