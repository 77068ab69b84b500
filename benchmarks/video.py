"""A video through the memory bank, frame by frame, every contender with a bank of its own."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..configs import Config
from .cases import Case, Setting
from .contenders import Contender
from .turns import Clock, Seconds, order_of


def videos(
    contenders: dict[str, Contender],
    calls: dict[str, Callable[[], Any]],
    config: Config,
    case: Case,
    setting: Setting,
    clock: Clock,
    progress: Callable[[str], None],
) -> Seconds:
    """The seconds of every frame of a video but the first, each contender with a bank of its own.

    The contenders take turns frame by frame, every frame in another order. What a frame leaves in the bank is
    drawn. A beginning runs once before, and all of it where something is compiled, or on a GPU captured and
    tried.
    """
    before = case if clock.cuda or setting.compiled else replace(case, frames=2)
    _video(contenders, {}, config, before, setting, clock, progress)
    return _video(contenders, calls, config, case, setting, clock, progress)


def _video(
    contenders: dict[str, Contender],
    calls: dict[str, Callable[[], Any]],
    config: Config,
    case: Case,
    setting: Setting,
    clock: Clock,
    progress: Callable[[str], None],
) -> Seconds:
    rng = np.random.default_rng(setting.seed)
    network, side = config.memory_attention, case.grid
    for contender in contenders.values():
        contender.bank.clear()
    seconds: Seconds = {name: [] for name in (*calls, *contenders)}
    for frame in range(case.frames):
        curr, curr_pos = rng.standard_normal((2, side * side, case.objects, network.d_model), np.float32)
        memory = rng.standard_normal((case.objects, network.memory_dim, side, side), np.float32)
        pointer = rng.standard_normal((case.objects, network.d_model), np.float32)
        for name, call in calls.items():
            seconds[name].append(clock.seconds(call))
        for name in order_of(list(contenders), frame):
            contender = contenders[name]
            progress(f"{case.name}: frame {frame + 1}, {name}")
            given = [contender.native(array) for array in (curr, curr_pos)]
            left = [contender.native(array) for array in (memory, pointer)]

            def step(
                bank: Any = contender.bank,
                attention: Callable[..., Any] = contender.attention,
                given: list[Any] = given,
                left: list[Any] = left,
                frame: int = frame,
            ) -> None:
                bank.attend(attention, *given, frame, None, first_prompted=frame == 0, grid=(side, side))
                bank.add(frame, *left, conditioning=frame == 0)
                bank.forget(frame + 1)

            seconds[name].append(clock.seconds(step))
    # The first frame remembers nothing and skips the attention.
    return {name: values[1:] for name, values in seconds.items()}
