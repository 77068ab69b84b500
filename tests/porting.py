"""Writes docs/porting.safetensors: a short clip, what a bank makes of it, and what comes out. Run it on purpose.

python tests/porting.py
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import memory_attention as ma
from cases import random_weights
from memory_attention.configs import bank_parameter_shapes
from memory_attention.inputs import Inputs
from memory_attention.integrations.onnx.inputs import split_inputs
from memory_attention.reference import MemoryBank
from memory_attention.reference.position import sine_encoding_2d

PATH = Path(__file__).parents[1] / "docs" / "porting.safetensors"
CONFIG = ma.load_config("tiny")
GRID = (3, 5)
NUM_FRAMES = 7
OBJECTS = 2
PROMPTED = (0, 3)
ABSENT = {2: (False, True), 4: (True, False)}


def draw_clip() -> dict[str, np.ndarray]:
    """The parameters, and what every frame's other networks gave: `frames.0.curr`, `frames.0.memory`, …"""
    rng = np.random.default_rng(20250211)
    height, width = GRID
    channels, memory_dim = CONFIG.memory_attention.d_model, CONFIG.memory_attention.memory_dim
    arrays = random_weights(CONFIG, rng)
    arrays |= {name: rng.standard_normal(shape) for name, shape in bank_parameter_shapes(CONFIG).items()}
    for frame in range(NUM_FRAMES):
        arrays[f"frames.{frame}.curr"] = rng.standard_normal((height * width, 1, channels))
        arrays[f"frames.{frame}.memory"] = rng.standard_normal((OBJECTS, memory_dim, height, width))
        arrays[f"frames.{frame}.pointer"] = rng.standard_normal((OBJECTS, channels))
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def track(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """For every frame forwards, and one backwards, what is fed to an exported graph and what comes out."""
    bank = MemoryBank(CONFIG, arrays)
    model = ma.load(
        CONFIG, "reference", {n: a for n, a in arrays.items() if not n.startswith("frames")}, dtype="float64"
    )
    height, width = GRID
    pos = sine_encoding_2d(height, width, CONFIG.memory_attention.d_model).reshape(height * width, 1, -1)
    calls: dict[str, dict[str, np.ndarray]] = {}

    def call(frame: int, backwards: bool = False) -> dict[str, Any]:
        curr = arrays[f"frames.{frame}.curr"]
        seen = bank.tokens(frame, NUM_FRAMES, backwards)
        given = (curr, seen.memory, pos.astype(np.float32), seen.memory_pos, seen.num_obj_ptr_tokens, GRID)
        fed = split_inputs(Inputs(*given), CONFIG.memory_attention)
        return fed | {"out": model(*given).astype(np.float32)}

    for frame in range(NUM_FRAMES):
        if frame == 0:
            curr = arrays["frames.0.curr"]
            calls["forwards.0"] = {"curr": curr, "out": bank.first_frame(curr)}
        else:
            calls[f"forwards.{frame}"] = call(frame)
        stored = (arrays[f"frames.{frame}.{name}"] for name in ("memory", "pointer"))
        bank.add(frame, *stored, frame in PROMPTED, np.array(ABSENT.get(frame, (False,) * OBJECTS)))
    bank.remove(1)
    calls["backwards.1"] = call(1, backwards=True)
    return calls


def said() -> dict[str, str]:
    """What the arrays do not say: the file's metadata."""
    words = {"config": CONFIG.name, "grid": GRID, "num_frames": NUM_FRAMES, "prompted": PROMPTED, "absent": ABSENT}
    return {name: word if isinstance(word, str) else json.dumps(word) for name, word in words.items()}


def flat(arrays: dict[str, np.ndarray], calls: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Everything by one name each."""
    named = {f"calls.{call}.{name}": array for call, given in calls.items() for name, array in given.items()}
    return {name: np.ascontiguousarray(array) for name, array in (arrays | named).items()}


if __name__ == "__main__":
    clip = draw_clip()
    save_file(flat(clip, track(clip)), PATH, metadata=said())
    print(f"{PATH.name}: {PATH.stat().st_size} bytes")
