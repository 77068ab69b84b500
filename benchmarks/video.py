"""A video through the memory bank, frame by frame, every contender with a bank of its own."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..configs import Config
from .cases import Case, Setting
from .contenders import Contender
from .turns import Clock


def videos(
    contenders: dict[str, Contender],
    calls: dict[str, Callable[[], Any]],
    config: Config,
    case: Case,
    setting: Setting,
    clock: Clock,
    progress: Callable[[str], None],
) -> dict[str, list[float]]:
    """The seconds of every frame of a video but the first, each contender with a bank of its own.

    The contenders take turns frame by frame. What a frame leaves in the bank is drawn. For what is compiled,
    or on a GPU captured and tried, the whole video runs once before.
    """
    if clock.cuda or setting.compiled:
        _video(contenders, {}, config, case, setting, clock, progress)
    return _video(contenders, calls, config, case, setting, clock, progress)


def _video(
    contenders: dict[str, Contender],
    calls: dict[str, Callable[[], Any]],
    config: Config,
    case: Case,
    setting: Setting,
    clock: Clock,
    progress: Callable[[str], None],
) -> dict[str, list[float]]:
    rng = np.random.default_rng(setting.seed)
    network, side = config.memory_attention, case.grid
    for contender in contenders.values():
        contender.bank.clear()
    seconds: dict[str, list[float]] = {name: [] for name in (*calls, *contenders)}
    for frame in range(case.frames):
        curr, curr_pos = rng.standard_normal((2, side * side, case.objects, network.d_model), np.float32)
        memory = rng.standard_normal((case.objects, network.memory_dim, side, side), np.float32)
        pointer = rng.standard_normal((case.objects, network.d_model), np.float32)
        for name, call in calls.items():
            seconds[name].append(clock.seconds(call))
        for name, contender in contenders.items():
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
