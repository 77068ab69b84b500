"""An ONNX graph as it is written: operators, constants, and the steps by their names."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, helper

Dims = Sequence[int | str]


class Graph:
    """A graph of one float dtype, to which operators are added one by one; values are known by their names."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.steps: list[str] = []
        self._nodes: list[Any] = []
        self._constants: dict[str, np.ndarray] = {}
        self._inputs: list[Any] = []

    def input(self, name: str, dims: Dims, dtype: np.dtype | type | None = None) -> str:
        """What a caller feeds; a dim that is a word is free."""
        self._inputs.append(helper.make_tensor_value_info(name, self.kind(dtype or self.dtype), dims))
        return name

    def constant(self, array: Any, name: str | None = None, dtype: np.dtype | None = None) -> str:
        """An array that stands in the graph; floats in the graph's dtype or another, whole numbers as they are."""
        array = np.asarray(array)
        name = name or f"constant_{len(self._constants)}"
        self._constants[name] = array.astype(dtype or self.dtype) if array.dtype.kind == "f" else array
        return name

    def number(self, value: float) -> str:
        """A number that stands in the graph."""
        return self.constant(np.array(value))

    def whole(self, *numbers: int) -> str:
        """Whole numbers [n] that stand in the graph."""
        return self.constant(np.array(numbers, np.int64))

    def count(self, value: str, axis: int) -> str:
        """How many there are along an axis, [1]."""
        return self.add("Shape", value, start=axis, end=axis + 1)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The value of an operator with one output."""
        return self.split(operator, *inputs, outputs=1, **attributes)[0]

    def split(self, operator: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """The values of an operator with several outputs."""
        number = len(self._nodes)
        names = [f"{operator}_{number}"] if outputs == 1 else [f"{operator}_{number}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(operator, inputs, names, name=f"{operator}_{number}", **attributes))
        return names

    def kind(self, dtype: np.dtype | type | str) -> int:
        """ONNX's number for a dtype."""
        return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def cast(self, value: str, dtype: str | np.dtype) -> str:
        """The value in another dtype."""
        return self.add("Cast", value, to=self.kind(dtype))

    def record(self, name: str, value: str) -> str:
        """Give a value the name of its step."""
        self.steps.append(name)
        return self.rename(value, name)

    def rename(self, value: str, name: str) -> str:
        """Give a value another name, before it is used."""
        if not self._nodes or value not in self._nodes[-1].output:
            # An older value may be in use under its name.
            value = self.add("Identity", value)
        output = self._nodes[-1].output
        output[list(output).index(value)] = name
        return name

    def finish(self, output: str, dims: Dims, opset: int, metadata: dict[str, str], traced: bool) -> ModelProto:
        """The whole as a model; `traced` gives every step as an output, after the result."""
        kind = self.kind(self.dtype)
        outputs = [helper.make_tensor_value_info(output, kind, dims)]
        if traced:
            outputs += [helper.make_tensor_value_info(step, kind, None) for step in self.steps]
        used = {name for node in self._nodes for name in node.input}
        constants = [_tensor(name, array) for name, array in self._constants.items() if name in used]
        graph = helper.make_graph(self._nodes, "memory_attention", self._inputs, outputs, constants)
        versions = [helper.make_opsetid("", opset)]
        model = helper.make_model(
            graph,
            opset_imports=versions,
            ir_version=helper.find_min_ir_version_for(versions),
            producer_name="memory_attention",
        )
        helper.set_model_props(model, metadata)
        return model


def _tensor(name: str, array: np.ndarray) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor(name, kind, array.shape, np.ascontiguousarray(array).tobytes(), raw=True)
