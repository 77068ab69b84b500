"""What tiles save is measured in turns, on the forms that it names."""

import pytest

from memory_attention.accelerated import MemoryAttention
from memory_attention.benchmarks import tiles


def test_every_form_is_timed_in_changing_order(monkeypatch):
    """A clock that goes on by one at every look: each call takes one, and the first turn is left out."""
    clock, forced = iter(range(100)), []
    monkeypatch.setattr(tiles.time, "perf_counter", lambda: next(clock))
    use = MemoryAttention.use_kernel
    seen = lambda module, *form: forced.append(form) or use(module, *form)  # noqa: E731
    monkeypatch.setattr(MemoryAttention, "use_kernel", seen)
    found = tiles.measure_tiles("tiny", sizes=((3, 2),), turns=2)
    (case,) = found["cases"]
    assert case["seconds"] == {name: [1, 1] for name in tiles.FORMS}
    forms = list(tiles.FORMS.values())
    assert forced == [*forms, *forms[1:], forms[0], forms[2], *forms[:2]]
    assert (case["memories"], case["grid"]) == (3, 2)
    tokens = 4
    assert case["logits_mb"] == pytest.approx(4 * tokens * (3 * tokens + 8) / 1e6, rel=0.5)
