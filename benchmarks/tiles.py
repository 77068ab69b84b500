"""What tiles and memory space save by themselves: `python -m memory_attention.benchmarks.tiles FILE.json`.

A frame with the table of all logits, with values projected and PyTorch's kernel, and with values in memory space,
in tiles; keys are projected in all three.
"""

import sys
import time
from pathlib import Path
from typing import Any

import torch

from ..accelerated import MemoryAttention
from ..configs import load_config
from ..files import write_json
from ..inputs import draw_inputs
from .machine import machine

CONFIG = "sam2.1_hiera_t"
FORMS = {"table": ("textbook", False), "values first": ("pytorch", False), "tiles": ("tiled", True)}
SIZES = ((7, 64), (4, 64), (2, 64), (1, 64), (7, 48), (7, 32), (7, 16))
"""Memories, and the side of the grid."""


def measure_tiles(config: str = CONFIG, sizes: Any = SIZES, turns: int = 5) -> dict[str, Any]:
    """Time the forms of each size in turns, every turn in another order; the first turn is left out."""
    chosen = load_config(config)
    module = MemoryAttention.from_config(chosen.memory_attention).eval()
    cases = []
    for memories, side in sizes:
        inputs = draw_inputs(chosen, memories=memories, grid=(side, side))
        frame = [torch.from_numpy(array) for array in inputs[:4]]
        seconds: dict[str, list[float]] = {name: [] for name in FORMS}
        for turn in range(turns + 1):
            first = turn % len(FORMS)
            for name in [*FORMS, *FORMS][first : first + len(FORMS)]:
                module.use_kernel(*FORMS[name])
                with torch.inference_mode():
                    started = time.perf_counter()
                    module(*frame, inputs.num_obj_ptr_tokens, inputs.grid)
                    seconds[name].append(time.perf_counter() - started)
        cases.append(
            {
                "memories": memories,
                "grid": side,
                "logits_mb": 4 * len(frame[0]) * len(frame[1]) / 1e6,
                "seconds": {name: values[1:] for name, values in seconds.items()},
            }
        )
        print(cases[-1], flush=True)
    command = "python -m memory_attention.benchmarks.tiles benchmarks/results/tiles.json"
    return {"command": command, "machine": machine("cpu"), "config": config, "cases": cases}


if __name__ == "__main__":
    found = measure_tiles()
    if len(sys.argv) > 1:
        write_json(Path(sys.argv[1]), found)
