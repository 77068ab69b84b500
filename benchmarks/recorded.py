"""What a recording costs: `python -m memory_attention.benchmarks.recorded FILE.json`."""

import sys
import time
from pathlib import Path
from typing import Any

import torch

from ..accelerated import MemoryAttention
from ..configs import load_config
from ..files import write_json
from ..inputs import draw_inputs
from ..listening import record
from .machine import machine
from .ratios import paired_ratios, ratio_of

CONFIG = "sam2.1_hiera_t"
QUERIES = tuple(range(0, 4096, 256))


def measure_recorded(config: str = CONFIG, turns: int = 8, **inputs: Any) -> dict[str, Any]:
    """Time a frame that is recorded and one that is not, in turns; the cost is a share of the latter."""
    chosen = load_config(config)
    module = MemoryAttention.from_config(chosen.memory_attention).eval()
    drawn = draw_inputs(chosen, **inputs)
    frame = [torch.from_numpy(array) for array in drawn[:4]]
    queries = [query for query in QUERIES if query < len(frame[0])]
    seconds: dict[str, list[float]] = {"plain": [], "recorded": []}

    def timed(name: str) -> None:
        started = time.perf_counter()
        module(*frame, drawn.num_obj_ptr_tokens, drawn.grid)
        seconds[name].append(time.perf_counter() - started)

    def recorded() -> None:
        with record(module, queries):
            timed("recorded")

    with torch.inference_mode():
        module(*frame, drawn.num_obj_ptr_tokens, drawn.grid)
        for turn in range(turns):
            for call in (recorded, lambda: timed("plain"))[:: 1 if turn % 2 else -1]:
                call()
    ratio = ratio_of(paired_ratios(seconds["recorded"], seconds["plain"]))
    return {
        "command": "python -m memory_attention.benchmarks.recorded benchmarks/results/recorded.json",
        "machine": machine("cpu"),
        "config": config,
        "queries": len(queries),
        "memory_tokens": len(frame[1]),
        "cost": {
            "median": ratio.median - 1,
            "lower_quartile": ratio.lower - 1,
            "upper_quartile": ratio.upper - 1,
        },
        "seconds": seconds,
    }


if __name__ == "__main__":
    found = measure_recorded()
    print(f"recording {found['queries']} queries costs {found['cost']['median']:.1%} of a frame", found["cost"])
    if len(sys.argv) > 1:
        write_json(Path(sys.argv[1]), found)
