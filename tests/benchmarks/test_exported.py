"""The memory of an exported graph."""

import pytest

from memory_attention.benchmarks import exported


def test_parts_hold_less(monkeypatch):
    """At 32 × 32 and seven memories all logits are 30 MB, and an eighth of them 4 MB."""
    monkeypatch.setattr(exported, "MEMORIES", (7,))
    monkeypatch.setattr(exported, "OPSETS", (23,))
    whole, parts = exported.measure_exported(grid=(32, 32))["rows"]
    if whole["peak_mb"] is None:
        pytest.skip("this system does not tell a process its peak memory")
    assert (whole["parts"], parts["parts"]) == (1, 8)
    assert whole["logits_mb"] == parts["logits_mb"] == 32 * 32 * (7 * 32 * 32 + 64) * 4 / 1e6
    assert whole["peak_mb"] - parts["peak_mb"] > whole["logits_mb"] / 2
