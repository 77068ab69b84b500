"""What a recording costs is measured beside a frame without one, in changing order."""

import pytest

from memory_attention.benchmarks import recorded


def test_the_cost_is_the_median_of_the_pairs(monkeypatch):
    """A clock that lets the first of each pair take 4 and 5 seconds, and the second 5 and 8."""
    clock = iter([0, 4, 10, 15, 20, 25, 30, 38])
    monkeypatch.setattr(recorded.time, "perf_counter", lambda: next(clock))
    found = recorded.measure_recorded("tiny", 2, memories=3, pointers=1, grid=(3, 5))
    assert found["seconds"] == {"plain": [4, 8], "recorded": [5, 5]}
    assert found["cost"]["median"] == pytest.approx((5 / 4 + 5 / 8) / 2 - 1)
    assert (found["queries"], found["memory_tokens"]) == (1, 3 * 15 + 2)
