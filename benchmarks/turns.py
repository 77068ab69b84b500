"""Time, taken in turns: what is compared runs one after the other in one process."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

LEAST_SECONDS = 0.02
"""A shorter call is repeated until it takes so long, and the mean of the calls is one turn."""

REST_SECONDS = 0.3
"""Threads of the contender before spin for a while after their work, and would take time from the next one."""

Seconds = dict[str, list[float | None]]
"""The seconds of every call in every turn; none where it sat out."""


class Clock:
    """Seconds of a call: by CUDA events on a GPU, else by the wall clock."""

    def __init__(self, device: str) -> None:
        self.cuda = device.startswith("cuda")

    def seconds(self, call: Callable[[], Any], calls: int = 1) -> float:
        """The mean seconds of so many calls right after one another, after a rest."""
        time.sleep(REST_SECONDS)
        if not self.cuda:
            started = time.perf_counter()
            for _ in range(calls):
                call()
            return (time.perf_counter() - started) / calls
        import torch

        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        for _ in range(calls):
            call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3 / calls


def order_of(names: Sequence[str], turn: int) -> list[str]:
    """The order of a turn: each begins with another name, and every other one goes backwards."""
    first = turn % len(names)
    order = [*names[first:], *names[:first]]
    return order[::-1] if turn % 2 else order


def in_turns(
    calls: dict[str, Callable[[], Any]],
    clock: Clock,
    turns: int,
    progress: Callable[[str], None],
    sit_out: Collection[str] = (),
) -> Seconds:
    """Time every call in every turn, each turn in another order; those that `sit_out` miss every other turn."""
    seconds: Seconds = {name: [] for name in calls}
    repeats = dict.fromkeys(calls, 1)
    # What is compiled or captured on a GPU is so in the first calls.
    for call in calls.values():
        for _ in range(3 if clock.cuda else 0):
            call()
    for turn in range(turns):
        for name in order_of(list(calls), turn):
            if turn % 2 and name in sit_out:
                seconds[name].append(None)
                continue
            progress(f"turn {turn + 1} of {turns}, {name}")
            mean = clock.seconds(calls[name], repeats[name])
            if turn == 0 and mean < LEAST_SECONDS:
                repeats[name] = round(LEAST_SECONDS / mean)
                mean = clock.seconds(calls[name], repeats[name])
            seconds[name].append(mean)
    return seconds
