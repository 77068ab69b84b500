"""The memory that one frame takes at its peak, in a process of its own."""

import ctypes
import multiprocessing
from collections.abc import Callable
from pathlib import Path

from ..configs import load_config
from ..inputs import draw_inputs
from ..model import load
from .cases import Case, Setting
from .contenders import build_contender, one_frame


def peak_memory(case: Case, name: str, setting: Setting) -> float | None:
    """The MB that one frame takes at its peak beyond inputs and weights; none where the system does not say.

    On a GPU what PyTorch allocates, else what a process of its own holds, the second time that it does
    the same: what is loaded once is not counted.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak_memory, (case, name, setting))


def _peak_memory(case: Case, name: str, setting: Setting) -> float | None:
    import torch

    config = load_config(setting.config)
    weights = load(config, seed=setting.seed).weights
    with torch.inference_mode():
        inputs = draw_inputs(
            config, setting.seed, case.memories, objects=case.objects, grid=(case.grid, case.grid)
        )
        call = one_frame(build_contender(name, config, weights, case, setting), inputs)
        call()
        if setting.device.startswith("cuda"):
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            call()
            torch.cuda.synchronize()
            return (torch.cuda.max_memory_allocated() - before) / 1e6
        return peak_of_call(call)


def peak_of_call(call: Callable[[], object]) -> float | None:
    """The MB that a call on the CPU holds at its peak beyond what the process holds already."""
    try:
        # What is free goes back to the system, and from here on the system counts the peak anew.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _resident("VmRSS")
        call()
        return (_resident("VmHWM") - before) / 1e6
    except (OSError, AttributeError):
        return None


def _resident(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
