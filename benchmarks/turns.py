"""Time, taken in turns: what is compared runs one after the other in one process."""

import time
from collections.abc import Callable
from typing import Any

LEAST_SECONDS = 0.02
"""A shorter call is repeated until it takes so long, and the mean of the calls is one turn."""

REST_SECONDS = 0.3
"""Threads of the contender before spin for a while after their work, and would take time from the next one."""


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


def in_turns(
    calls: dict[str, Callable[[], Any]], clock: Clock, turns: int, progress: Callable[[str], None]
) -> dict[str, list[float]]:
    """The seconds of every call in every turn; in a turn each is called in the same order."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    repeats = dict.fromkeys(calls, 1)
    # What is compiled or captured on a GPU is so in the first calls.
    for call in calls.values():
        for _ in range(3 if clock.cuda else 0):
            call()
    for turn in range(turns):
        for name, call in calls.items():
            progress(f"turn {turn + 1} of {turns}, {name}")
            mean = clock.seconds(call, repeats[name])
            if turn == 0 and mean < LEAST_SECONDS:
                repeats[name] = round(LEAST_SECONDS / mean)
                mean = clock.seconds(call, repeats[name])
            seconds[name].append(mean)
    return seconds
