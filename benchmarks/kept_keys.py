"""Would it pay to keep each frame's rotated keys, and to add the slot's term as the frame ages?

    python benchmarks/kept_keys.py

k_proj and rotation are linear, so rotate(W (m + s + τ) + b) = rotate(W (m + s) + b) + rotate(W τ): for all
but the newest frame a pass over M × 256 numbers takes the place of a projection from 64 to 256 channels and
a rotation. It would be kept for a gain of 5 % of a frame; writes benchmarks/kept_keys.json.
"""

import json
import statistics
import time
from pathlib import Path

import torch

import memory_attention as ma
from memory_attention.accelerated.position import rotary_table, rotate, sine_encoding_2d
from memory_attention.bench import machine
from memory_attention.inputs import draw_inputs

RESULT = Path(__file__).with_suffix(".json")
TURNS = 9
FRAMES, SIDE, POINTER_TOKENS = 7, 64, 64
TOKENS = SIDE * SIDE


def main() -> None:
    config = ma.load_config("sam2.1_hiera_t")
    module = ma.load(config, "accelerated", device="cpu").network.module
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
        for _ in range(TURNS):
            for name, call in calls.items():
                started = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - started)

    median = {name: statistics.median(values) for name, values in seconds.items()}
    gains = [
        (new - old) / whole
        for new, old, whole in zip(*(seconds[n] for n in ("fresh", "kept", "frame")), strict=True)
    ]
    result = {
        "command": "python benchmarks/kept_keys.py",
        "machine": machine("cpu"),
        "size": f"{FRAMES} memories of {SIDE} × {SIDE}, 4 layers, float32, 1 object",
        "share_of_a_frame_saved": {"median": statistics.median(gains), "least": min(gains), "most": max(gains)},
        "megabytes_kept": sum(tensor.nbytes for tensor in (*kept, *terms)) / 1e6,
        "relative_error": float(error),
        "median_seconds": median,
        "seconds": seconds,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(
        json.dumps(
            {k: result[k] for k in ("share_of_a_frame_saved", "megabytes_kept", "relative_error")}, indent=1
        )
    )


if __name__ == "__main__":
    main()
