"""Turns: every one in another order, and who sits out."""

from memory_attention.benchmarks import turns
from memory_attention.benchmarks.turns import Clock, in_turns, order_of


def test_every_turn_begins_with_another():
    names = ["a", "b", "c", "d"]
    orders = [order_of(names, turn) for turn in range(8)]
    assert all(sorted(order) == names for order in orders)
    assert orders[:2] == [names, ["a", "d", "c", "b"]]
    assert {order[0] for order in orders[::2]} == {"a", "c"}
    # Everyone comes before and after everyone else.
    for one in names:
        for other in names:
            places = {order.index(one) < order.index(other) for order in orders}
            assert one == other or places == {True, False}


def test_calls_are_made_in_that_order_and_every_other_turn_is_sat_out(monkeypatch):
    monkeypatch.setattr(turns, "LEAST_SECONDS", 0.0)
    called, told = [], []
    calls = {name: lambda name=name: called.append(name) for name in ("a", "b", "c")}
    seconds = in_turns(calls, Clock("cpu"), 3, told.append, sit_out=["b"])
    assert called == ["a", "b", "c", "a", "c", "c", "a", "b"]
    assert [value is None for value in seconds["b"]] == [False, True, False]
    assert all(value >= 0 for name in ("a", "c") for value in seconds[name])
    assert told[-1] == "turn 3 of 3, b"
    assert len(told) == 8
