"""The memory of an exported graph in onnxruntime: `python -m memory_attention.benchmarks.exported FILE.json`.

Its attention on the CPU holds the logits of all queries that it is given, with either opset: queries in parts
hold as much less.
"""

import itertools
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..configs import load_config
from ..files import write_json
from ..inputs import draw_inputs
from ..integrations.form import Form
from ..weights import draw_weights
from .machine import machine
from .memory import peak_of_call

CONFIG = "sam2.1_hiera_t"
MEMORIES, OPSETS, PARTS = (1, 4, 7), (23, 18), (1, 8)


def measure_exported(config: str = CONFIG, grid: tuple[int, int] = (64, 64)) -> dict[str, Any]:
    """The peak of one frame, each in a process of its own, beside what all logits of one attention take."""
    rows = []
    context = multiprocessing.get_context("spawn")
    for memories, opset, parts in itertools.product(MEMORIES, OPSETS, PARTS):
        with context.Pool(1) as pool:
            peak, logits = pool.apply(_peak, (config, Form(opset, "float32", grid, parts), memories))
        rows.append({"memories": memories, "opset": opset, "parts": parts, "peak_mb": peak, "logits_mb": logits})
    return {"command": "python -m memory_attention.benchmarks.exported", "machine": machine("cpu"), "rows": rows}


def _peak(name: str, form: Form, memories: int) -> tuple[float | None, float]:
    from ..integrations.onnx.file import build_model
    from ..integrations.onnx.inputs import split_inputs
    from ..integrations.onnx.runtime import Session

    config = load_config(name)
    inputs = draw_inputs(config, memories=memories, grid=form.grid)
    feed = split_inputs(inputs, config.memory_attention)
    session = Session(build_model(config, draw_weights(config), form).SerializeToString())
    logits = len(inputs.curr) * len(inputs.memory) * np.dtype(form.dtype).itemsize
    return peak_of_call(lambda: session.run(feed)), logits / 1e6


if __name__ == "__main__":
    found = measure_exported()
    for row in found["rows"]:
        print(", ".join(f"{name} {value if value is None else round(value)}" for name, value in row.items()))
    if len(sys.argv) > 1:
        write_json(Path(sys.argv[1]), found)
