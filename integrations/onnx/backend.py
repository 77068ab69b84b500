"""The exported graph as a backend: what `memory-attention export` writes, written to memory and run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backends import Network
from ...backends.reference import round_to_bfloat16
from ...configs import Config
from ...inputs import Inputs
from ...rules.grids import frames_of_keys, grid_of
from ...rules.record import Record
from .file import build_model
from .form import LONGEST_SIDE, Form
from .runtime import Session, split_inputs


def build(config: Config, weights: Mapping[str, np.ndarray], device: str | None, dtype: str) -> Network:
    """Build the graph of the newest opset that has the dtype, with a free grid."""
    return GraphBackend().build(config, weights, device, dtype)


@dataclass(frozen=True)
class GraphBackend:
    """A backend that runs graphs of one opset; without one, of the newest that has the dtype."""

    opset: int | None = None

    def build(self, config: Config, weights: Mapping[str, np.ndarray], device: str | None, dtype: str) -> Network:
        """Build the network; bfloat16, which onnxruntime lacks, is computed in float32 from rounded numbers.

        Raises `ValueError` for another device than the CPU.
        """
        if device not in (None, "cpu"):
            raise ValueError(f"device is {device!r}, expected 'cpu': the onnx backend runs onnxruntime there")
        return GraphNetwork(config, weights, self.opset or (18 if dtype == "float64" else 23), dtype)


class GraphNetwork:
    """A graph with a free grid behind NumPy arrays; one more, which gives every step, once somebody listens."""

    def __init__(self, config: Config, weights: Mapping[str, np.ndarray], opset: int, dtype: str) -> None:
        self.config = config
        self.rounds = dtype == "bfloat16"
        self.form = Form(opset, "float32" if self.rounds else dtype)
        self.weights = {name: self._convert(weight) for name, weight in weights.items()}
        self._sessions: dict[bool, Session] = {}

    def __call__(
        self,
        curr: Any,
        memory: Any,
        curr_pos: Any,
        memory_pos: Any,
        num_obj_ptr_tokens: int,
        grid: tuple[int, int] | None,
        record: Record | None,
    ) -> np.ndarray:
        arrays = (
            None if array is None else self._convert(array) for array in (curr, memory, curr_pos, memory_pos)
        )
        inputs = Inputs(*arrays, num_obj_ptr_tokens)
        feed = split_inputs(inputs, self.config.memory_attention)
        outputs = self._session(traced=record is not None).run(feed | self._grid(inputs, grid))
        result = outputs.pop("out")
        swaps = self.config.memory_attention.batch_first
        for name, value in outputs.items():
            assert record is not None
            # The graph's tokens lie as the caller's do, those of a trace batch-first.
            record(name, value.swapaxes(0, 1) if swaps and value.ndim == 3 else value)
        return result

    def _session(self, traced: bool) -> Session:
        if traced not in self._sessions:
            model = build_model(self.config, self.weights, self.form, traced)
            self._sessions[traced] = Session(model.SerializeToString())
        return self._sessions[traced]

    def _grid(self, inputs: Inputs, grid: tuple[int, int] | None) -> dict[str, np.ndarray]:
        """The grid (h, w) that the graph is to take, found and checked as every backend does."""
        config = self.config.memory_attention
        axis = 0 if config.batch_first else 1
        tokens = inputs.curr.shape[axis]
        layer, found = config.layer, set()
        if layer.self_attention.rotary:
            found.add(grid_of(tokens, grid, layer.self_attention.feat_sizes))
        if layer.cross_attention.rotary:
            found.add(grid_of(tokens, grid, layer.cross_attention.feat_sizes))
            spatial = inputs.memory.shape[axis] - inputs.num_obj_ptr_tokens
            frames_of_keys(spatial, tokens, layer.cross_attention.rope_k_repeat)
        if len(found) > 1:
            raise ValueError(f"the two attentions' feat_sizes are different grids, {sorted(found)}: give the grid")
        if any(max(sides) > LONGEST_SIDE for sides in found):
            raise ValueError(f"grid is {found.pop()}, expected sides of at most {LONGEST_SIDE}")
        return {"grid": np.array(sides, np.int64) for sides in found}

    def _convert(self, array: Any) -> np.ndarray:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"got {type(array).__name__}, expected NumPy arrays for the onnx backend")
        # Whoever calls looks at the numbers that go in and come out.
        with np.errstate(over="ignore", invalid="ignore"):
            return round_to_bfloat16(array) if self.rounds else array.astype(self.form.dtype)
