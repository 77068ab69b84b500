"""Would it pay to keep each frame's rotated keys, and to add the slot's term as the frame ages?

k_proj and rotation are linear, so rotate(W (m + s + τ) + b) = rotate(W (m + s) + b) + rotate(W τ): for all
but the newest frame a pass over M × 256 numbers takes the place of a projection from 64 to 256 channels and
a rotation. It would be kept for a gain of 5 % of a frame.
"""

import statistics
import time
from typing import Any

import torch

from ..accelerated import MemoryAttention
from ..accelerated.position import rotary_table, rotate, sine_encoding_2d
from ..configs import load_config
from ..inputs import draw_inputs
from .machine import machine

FRAMES, SIDE, POINTER_TOKENS = 7, 64, 64
TOKENS = SIDE * SIDE


def measure_kept_keys(turns: int = 9) -> dict[str, Any]:
    """Time keys made afresh, kept ones, and a whole frame, in turns; the gain is a share of the frame."""
    config = load_config("sam2.1_hiera_t")
    module = MemoryAttention.from_config(config.memory_attention).eval()
    inputs = draw_inputs(config)
    frame = [torch.from_numpy(array) for array in inputs[:4]]
    table = rotary_table(SIDE, SIDE, 256, 10000.0, "cpu", torch.float32)
    projections = [layer.cross_attn_image.k_proj for layer in module.layers]

    memory, pointers = frame[1][:-POINTER_TOKENS, 0].unflatten(0, (FRAMES, TOKENS)), frame[1][-POINTER_TOKENS:, 0]
    place = sine_encoding_2d(SIDE, SIDE, 64).flatten(0, 1).float()
    slots = torch.randn(FRAMES, 1, 64)

    def join(spatial: torch.Tensor, projection: torch.nn.Linear) -> torch.Tensor:
        return torch.cat([spatial.flatten(0, 1), projection(pointers)])

    def rotated(keys: torch.Tensor) -> torch.Tensor:
        return rotate(keys, table, out=keys)

    def fresh() -> list[torch.Tensor]:
        position = place + slots
        return [join(rotated(p(memory + position)), p) for p in projections]

    with torch.inference_mode():
        kept = [rotate(p(memory + place), table) for p in projections]
        terms = [rotate((slots @ p.weight.T).expand(-1, TOKENS, -1).contiguous(), table) for p in projections]

        def aged() -> list[torch.Tensor]:
            for keys, projection in zip(kept, projections, strict=True):
                keys[-1] = rotated(projection(memory[-1] + place))
            return [join(keys + term, p) for keys, term, p in zip(kept, terms, projections, strict=True)]

        calls = {"fresh": fresh, "kept": aged, "frame": lambda: module(*frame, inputs.num_obj_ptr_tokens)}
        error = max((a - b).abs().max() / a.abs().max() for a, b in zip(fresh(), aged(), strict=True))
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(turns):
            for name, call in calls.items():
                started = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - started)

    median = {name: statistics.median(values) for name, values in seconds.items()}
    gains = [
        (new - old) / whole
        for new, old, whole in zip(*(seconds[n] for n in ("fresh", "kept", "frame")), strict=True)
    ]
    return {
        "command": "memory-attention kept-keys",
        "machine": machine("cpu"),
        "size": f"{FRAMES} memories of {SIDE} × {SIDE}, 4 layers, float32, 1 object",
        "share_of_a_frame_saved": {"median": statistics.median(gains), "least": min(gains), "most": max(gains)},
        "megabytes_kept": sum(tensor.nbytes for tensor in (*kept, *terms)) / 1e6,
        "relative_error": float(error),
        "median_seconds": median,
        "seconds": seconds,
    }
