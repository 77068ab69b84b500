"""The benchmark in a moment: no rests between turns, and small matrix products."""

import pytest

from memory_attention.benchmarks import floor, measuring, turns


@pytest.fixture(autouse=True)
def no_rest(monkeypatch):
    monkeypatch.setattr(turns, "REST_SECONDS", 0.0)
    monkeypatch.setattr(turns, "LEAST_SECONDS", 1e-4)
    monkeypatch.setattr(floor, "matrix_side", lambda setting: 64)
    monkeypatch.setattr(measuring, "matrix_side", lambda setting: 64)
