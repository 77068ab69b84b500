"""The exported graph as a backend: written to memory and run, or read from a file."""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...backends import Network
from ...backends.reference import round_to_bfloat16
from ...configs import Config
from ...inputs import Inputs
from ...rules.record import Record
from ..form import Form
from .file import build_model, check_said, grid_said
from .inputs import grid_input, split_inputs
from .runtime import Session


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
        _check_device(device)
        form = Form(self.opset or (18 if dtype == "float64" else 23), "float32" if dtype == "bfloat16" else dtype)
        convert = round_to_bfloat16 if dtype == "bfloat16" else _converter(form.dtype)
        own = {name: convert(weight) for name, weight in weights.items()}

        @functools.cache
        def session(traced: bool) -> Session:
            return Session(build_model(config, own, form, traced).SerializeToString())

        return GraphNetwork(config, form.grid, convert, session)


@dataclass(frozen=True)
class FileBackend:
    """A backend that runs one exported file, for the config and the weights that it was exported from."""

    path: str | os.PathLike[str]

    def build(self, config: Config, weights: Mapping[str, np.ndarray], device: str | None, dtype: str) -> Network:
        """Raises `FileNotFoundError`, or `ValueError` for a file of another config, weights or dtype."""
        _check_device(device)
        if not Path(self.path).is_file():
            raise FileNotFoundError(f"no such file: {self.path}")
        found = Session(self.path)
        try:
            check_said(found.metadata, config, weights, dtype)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None

        def session(traced: bool) -> Session:
            if traced:
                raise ValueError(f"{self.path} gives its result alone: the steps are in load(…, backend='onnx')")
            return found

        return GraphNetwork(config, grid_said(found.metadata), _converter(dtype), session)


class GraphNetwork:
    """A graph behind NumPy arrays; `session` gives it, or asked so one that has every step as an output."""

    def __init__(
        self,
        config: Config,
        grid: tuple[int, int] | None,
        convert: Callable[[np.ndarray], np.ndarray],
        session: Callable[[bool], Session],
    ) -> None:
        self.config, self.grid, self.convert, self.session = config, grid, convert, session

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
        arrays = (curr, memory, curr_pos, memory_pos)
        for array in arrays:
            if not isinstance(array, np.ndarray | None):
                raise TypeError(f"got {type(array).__name__}, expected NumPy arrays for the onnx backend")
        curr, memory, curr_pos, memory_pos = (None if array is None else self.convert(array) for array in arrays)
        inputs = Inputs(curr, memory, curr_pos, memory_pos, num_obj_ptr_tokens, grid)
        network = self.config.memory_attention
        feed = split_inputs(inputs, network) | grid_input(inputs, network, self.grid)
        outputs = self.session(record is not None).run(feed)
        result = outputs.pop("out")
        for name, value in outputs.items():
            assert record is not None
            # The graph's tokens lie as the caller's do, those of a trace batch-first.
            record(name, value.swapaxes(0, 1) if network.batch_first and value.ndim == 3 else value)
        return result


def _check_device(device: str | None) -> None:
    if device not in (None, "cpu"):
        raise ValueError(f"device is {device!r}, expected 'cpu': onnxruntime runs there")


def _converter(dtype: str) -> Callable[[np.ndarray], np.ndarray]:
    def convert(array: np.ndarray) -> np.ndarray:
        # Whoever calls looks at the numbers that go in and come out.
        with np.errstate(over="ignore", invalid="ignore"):
            return array.astype(dtype)

    return convert
