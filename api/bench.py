"""Benchmarks side by side: contenders take turns in one process; what counts are ratios of medians."""

import ctypes
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .configs import Config, load_config
from .contenders import PEER, Contender, build_contender
from .cost import needed_flops, step_costs
from .inputs import SAM2_POINTERS, Inputs, draw_inputs
from .model import load

LEAST_SECONDS = 0.02
"""A shorter call is repeated until it takes so long, and the mean of the calls is one turn."""

REST_SECONDS = 0.3
"""Threads of the contender before spin for a while after their work, and would take time from the next one."""

MOST_LOGIT_BYTES = 2**31
"""Beyond so much for one N × M array the textbook formula, which needs several, is left out."""

DOES_NOT_SHARE = ("plain", "textbook", PEER, "transformers compiled")
"""Contenders that are given one frame for each object, as there is no other way to call the peer."""


@dataclass(frozen=True)
class Case:
    """One frame that sees `memories`, or a video of `frames` through the bank, for some objects on a grid."""

    memories: int
    objects: int
    grid: int
    frames: int = 1

    @property
    def name(self) -> str:
        """In words."""
        seen = f"{self.memories} memories" if self.frames == 1 else f"video of {self.frames} frames"
        objects = "1 object" if self.objects == 1 else f"{self.objects} objects"
        return f"{self.grid}×{self.grid}, {seen.replace('1 memories', '1 memory')}, {objects}"


def cases(config: Config, quick: bool = False) -> list[Case]:
    """What is measured: memory lengths, grids, objects and a video; `quick` is a small sample."""
    full = config.memory_bank.num_maskmem
    side = config.grid[0]
    if quick:
        return [Case(1, 1, 8), Case(2, 1, 8), Case(2, 1, 12), Case(2, 2, 8), Case(2, 1, 8, frames=4)]
    lengths = [Case(memories, 1, side) for memories in (full, 1, 2, 4)]
    objects = [Case(memories, 3, side) for memories in (full, 1)]
    grids = [Case(1, 1, 16), *(Case(full, 1, grid) for grid in (16, 32, 48, 96))]
    return [*lengths[:2], Case(full, 1, side, frames=16), *objects, *grids[:-1], *lengths[2:], grids[-1]]


@dataclass(frozen=True)
class Setting:
    """What all cases of one run have in common."""

    config: str
    device: str
    dtype: str
    seed: int
    turns: int
    kernel: str | None = None
    compiled: bool = False


def machine(device: str) -> dict[str, Any]:
    """The description that stands beside every figure."""
    import torch

    described = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }
    try:
        import transformers

        described["transformers"] = transformers.__version__
    except ModuleNotFoundError:
        pass
    if device.startswith("cuda"):
        described |= {"device": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
        driver = Path("/proc/driver/nvidia/version")
        if driver.is_file():
            described["driver"] = driver.read_text().splitlines()[0]
    return described


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def measure(
    case: Case,
    names: list[str],
    setting: Setting,
    progress: Callable[[str], None] = lambda step: None,
    memory: bool = True,
) -> dict[str, Any]:
    """Time the contenders of a case in turns; also their errors, their peak memory, and the floor.

    Errors are root mean squares over the output, and the largest, relative to its largest number in the
    reference in float64. The floor is the time that the needed FLOPs take at the rate of a large matrix
    product, measured in the same turns; it is also given for the attention to the memories by itself.
    `progress` is told what comes next.
    """
    import torch

    config = load_config(setting.config)
    names = [name for name in names if _fits(case, name, setting)]
    inputs = draw_inputs(config, setting.seed, case.memories, objects=case.objects, grid=(case.grid, case.grid))
    weights = load(config, seed=setting.seed).weights
    clock = Clock(setting.device)
    with torch.inference_mode():
        contenders = {name: _build(name, config, weights, case, setting) for name in names}
        measures = {"matrix product": _matrix_product(setting)}
        results: dict[str, np.ndarray] = {}
        if case.frames == 1:
            calls = {name: _one_frame(contender, inputs) for name, contender in contenders.items()}
            results = {name: contenders[name].to_numpy(call()) for name, call in calls.items()}
            if case.objects == 1:
                measures["attention"] = _attention_alone(config, case, setting)
            calls |= measures
            seconds = _in_turns(
                calls, clock, turns_of(case, setting.turns), lambda step: progress(f"{case.name}: {step}")
            )
        else:
            seconds = _videos(contenders, measures, config, case, setting, clock, progress)
        rate = 2 * _matrix_side(setting) ** 3 / statistics.median(seconds.pop("matrix product"))
    needed = _needed(config, case)
    of_attention = {}
    if "attention" in measures:
        time_of_attention = statistics.median(seconds.pop("attention"))
        of_attention["attention_share_of_floor"] = _needed_by_attention(config, case) / rate / time_of_attention
    # A video is one run of many frames, and its time their sum.
    of_turns = statistics.median if case.frames == 1 else sum
    rows: dict[str, dict[str, Any]] = {
        name: {"time": of_turns(values), "seconds": values} for name, values in seconds.items()
    }
    if results and case.objects == 1 and case.grid <= config.grid[0]:
        progress(f"{case.name}: the truth, in float64")
        truth = load(config, "reference", weights, dtype="float64")(*_rounded(inputs, setting.dtype))
        for name, result in results.items():
            error = np.abs(result.reshape(truth.shape) - truth) / np.abs(truth).max()
            rows[name]["error"] = float(np.sqrt(np.mean(error**2)))
            rows[name]["largest_error"] = float(error.max())
    del contenders, results
    for name, row in rows.items():
        if PEER in rows:
            row["times_faster_than_peer"] = rows[PEER]["time"] / row["time"]
            pairs = [theirs / ours for theirs, ours in zip(seconds[PEER], seconds[name], strict=True)]
            row["least"], row["most"] = min(pairs), max(pairs)
        row["share_of_floor"] = needed / rate / row["time"]
        if memory and case.frames == case.objects == 1:
            progress(f"{case.name}: memory of {name}")
            row["peak_mb"] = peak_memory(case, name, setting)
    return {
        "name": case.name,
        **asdict(case),
        "needed_gflop": needed / 1e9,
        "matrix_product_gflop_per_second": rate / 1e9,
        **of_attention,
        "contenders": rows,
    }


def _fits(case: Case, name: str, setting: Setting) -> bool:
    """Some contenders are left out where they would take too long or too much memory."""
    logits = case.grid**2 * (case.memories * case.grid**2) * case.objects
    size = 2 if setting.dtype in ("float16", "bfloat16") else 4
    slow = case.frames > 1 or case.objects > 1 or case.grid > 64
    if name == "textbook":
        return not slow and logits * size <= MOST_LOGIT_BYTES
    return name != "reference" or not slow


def _build(name: str, config: Config, weights: Any, case: Case, setting: Setting) -> Contender:
    grid = (case.grid, case.grid)
    return build_contender(name, config, weights, grid, setting.device, setting.dtype, setting.kernel)


def _needed(config: Config, case: Case) -> int:
    """FLOPs of the case; in a video of the frames after the first, each with the memories that there are."""
    tokens, full = case.grid**2, config.memory_bank.num_maskmem
    if case.frames == 1:
        return needed_flops(config, tokens, _memory_tokens(config, case), case.objects)
    reach = config.memory_bank.max_obj_ptrs_in_encoder
    return sum(
        needed_flops(
            config, tokens, min(frame, full) * tokens + min(frame, reach) * config.num_pointer_tokens, case.objects
        )
        for frame in range(1, case.frames)
    )


def _memory_tokens(config: Config, case: Case) -> int:
    """The tokens that one frame sees."""
    pointers = min(config.memory_bank.max_obj_ptrs_in_encoder, SAM2_POINTERS)
    return case.memories * case.grid**2 + pointers * config.num_pointer_tokens


def _needed_by_attention(config: Config, case: Case) -> int:
    """FLOPs of one layer's attention to the memories: logits, weighted sum and its projection."""
    costs = step_costs(config, case.grid**2, _memory_tokens(config, case), fast=True)
    return next(cost.flops for cost in costs if cost.step == "layers.0.cross_attn_image.attended")


def _attention_alone(config: Config, case: Case, setting: Setting) -> Callable[[], Any]:
    """One layer's attention to the memories by itself, in the form and with the kernel of the fast path."""
    import torch

    from .accelerated.attention import attend_in_memory_space
    from .accelerated.choice import Problem, choose_form
    from .accelerated.kernels import scaled_dot_product_attention

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=setting.device, dtype=getattr(torch, setting.dtype))

    attention = config.memory_attention.layer.cross_attention
    heads, width, memory_dim = attention.num_heads, attention.head_dim, attention.key_dim
    queries, keys = case.grid**2, _memory_tokens(config, case)
    query, key, memory = draw(1, heads, queries, width), draw(1, heads, keys, width), draw(1, keys, memory_dim)
    problem = Problem(1, heads, queries, keys, width, memory_dim, query.dtype, query.device)
    form = choose_form(problem, setting.kernel)
    if form.memory_space:
        weight, bias = draw(heads * width, memory_dim), draw(heads * width)
        return lambda: attend_in_memory_space(query, key, memory, weight, bias, form.kernel)
    value = draw(1, heads, keys, width)
    return lambda: scaled_dot_product_attention(query, key, value, kernel=form.kernel)


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


def _in_turns(
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


def _one_frame(contender: Contender, inputs: Inputs) -> Callable[[], Any]:
    """A call on one frame; those that share it between the objects are given it once."""
    once = inputs.curr[:, :1], inputs.curr_pos[:, :1] if inputs.curr_pos is not None else None
    objects = inputs.memory.shape[1]
    frame = [contender.native(np.ascontiguousarray(array)) for array in once if array is not None]
    if contender.name in DOES_NOT_SHARE:
        frame = [contender.native(np.repeat(array, objects, 1)) for array in once if array is not None]
    arguments = {
        "curr": frame[0],
        "memory": contender.native(inputs.memory),
        "curr_pos": frame[1],
        "memory_pos": contender.native(inputs.memory_pos) if inputs.memory_pos is not None else None,
        "num_obj_ptr_tokens": inputs.num_obj_ptr_tokens,
        "grid": inputs.grid,
    }
    return lambda: contender.attention(**arguments)


def _rounded(inputs: Inputs, dtype: str) -> Inputs:
    """The inputs as a contender of that dtype sees them, in float64, with one frame for all objects."""
    import torch

    def to(array: Any) -> Any:
        if not isinstance(array, np.ndarray):
            return array
        return torch.from_numpy(array).to(getattr(torch, dtype)).double().numpy()

    return Inputs(*map(to, inputs))


def _matrix_side(setting: Setting) -> int:
    if setting.device.startswith("cuda"):
        return 8192
    # Many processors have no arithmetic in half precision.
    return 512 if setting.dtype in ("float16", "bfloat16") else 2048


def _matrix_product(setting: Setting) -> Callable[[], Any]:
    import torch

    side = _matrix_side(setting)
    left, right = (
        torch.randn(side, side, device=setting.device, dtype=getattr(torch, setting.dtype)) for _ in range(2)
    )
    return lambda: left @ right


def _videos(
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
        call = _one_frame(_build(name, config, weights, case, setting), inputs)
        call()
        if setting.device.startswith("cuda"):
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            call()
            torch.cuda.synchronize()
            return (torch.cuda.max_memory_allocated() - before) / 1e6
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


def turns_of(case: Case, turns: int) -> int:
    """Fewer turns for what takes minutes."""
    return max(1, turns // 2) if case.objects > 1 or case.grid > 64 else turns


def result(setting: Setting, done: list[dict[str, Any]]) -> dict[str, Any]:
    """What is written to the file."""
    return {"machine": machine(setting.device), "setting": asdict(setting), "cases": done}


def read_result(path: Path, setting: Setting) -> list[dict[str, Any]]:
    """The cases of an earlier run with the same setting on the same machine, to go on from; else none."""
    if not path.is_file():
        return []
    found = json.loads(path.read_text())
    same = found.get("setting") == asdict(setting) and found.get("machine") == machine(setting.device)
    return found["cases"] if same else []
