"""The axial rotary encoding in ONNX: each token looks up the angles of its place; a pointer's are zero."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ...reference.position import rotary_angles
from ..form import LONGEST_SIDE, Form
from .graph import Graph

Table = tuple[str, str]
"""The names of cosines and sines, [N + 1, d/2] each: one row a place, and a last row that turns nothing."""


class Places:
    """Where the tokens of a frame, and of memories and pointers after them, stand in the table of rotations."""

    def __init__(self, graph: Graph, form: Form) -> None:
        self.graph, self.form = graph, form
        self._tables: dict[tuple[int, float], Table] = {}
        self._found: dict[tuple[str, tuple[str, ...]], str] = {}
        self._ones, self._last = graph.whole(1, 1), graph.whole(-1)
        if form.grid is None:
            sides = graph.input("grid", [2], np.int64)
            height, self._width = graph.split("Split", sides, outputs=2, axis=0, num_outputs=2)
            self._count = graph.add("Mul", height, self._width)
            end = graph.add("Squeeze", self._count)
            self.of_frame = graph.add("Range", graph.constant(np.array(0)), end, graph.constant(np.array(1)))
        else:
            count = form.grid[0] * form.grid[1]
            self._count, self.of_frame = graph.whole(count), graph.whole(*range(count))

    def of_memory(self, memory_tokens: str, pointer_tokens: str, most: int | None = None) -> str:
        """The frame's places over and over, then that of pointers; the numbers of tokens are [1].

        Memory tokens that are no whole number of frames, or more than `most`, get too few places, and the graph
        does not run.
        """
        graph = self.graph
        frames = graph.add("Div", memory_tokens, self._count)
        if most is not None:
            frames = graph.add("Min", frames, graph.whole(most))
        spatial = graph.add("Tile", self.of_frame, frames)
        places = graph.add("Concat", spatial, graph.add("Expand", self._count, pointer_tokens), axis=0)
        # One place alone would be broadcast.
        return graph.add("Reshape", places, graph.add("Add", memory_tokens, pointer_tokens))

    def rotate(self, x: str, places: str, batch: str, head_dim: int, theta: float) -> str:
        """Turn `x` [B,H,T,d] by the angles of its `places` [T], in float32 or better; `batch` is B, [1]."""
        graph = self.graph
        working = np.promote_types(graph.dtype, np.float32)
        table = self._table(head_dim, theta, working)
        cos, sin = (self._once("Gather", part, places) for part in table)
        widened = x if working == graph.dtype else graph.cast(x, working)
        if self.form.has_operators:
            each = self._once("Concat", batch, self._ones, axis=0)
            tables = (self._once("Expand", part, each) for part in (cos, sin))
            turned = graph.add("RotaryEmbedding", widened, *tables, interleaved=1)
        else:
            turned = self._by_hand(widened, cos, sin, head_dim)
        return turned if working == graph.dtype else graph.cast(turned, graph.dtype)

    def _by_hand(self, x: str, cos: str, sin: str, head_dim: int) -> str:
        """(a, b) → (a cos − b sin, a sin + b cos) for the pairs of channels (2i, 2i+1)."""
        graph = self.graph
        cos, sin = (self._once("Unsqueeze", part, self._last) for part in (cos, sin))
        pairs = graph.add("Reshape", x, graph.whole(0, 0, 0, head_dim // 2, 2))
        a, b = graph.split("Split", pairs, outputs=2, axis=-1, num_outputs=2)
        first = graph.add("Sub", graph.add("Mul", a, cos), graph.add("Mul", b, sin))
        second = graph.add("Add", graph.add("Mul", a, sin), graph.add("Mul", b, cos))
        turned = graph.add("Concat", first, second, axis=-1)
        return graph.add("Reshape", turned, graph.whole(0, 0, 0, head_dim))

    def _once(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The value of an operator that is the same in every layer."""
        if (operator, inputs) not in self._found:
            self._found[operator, inputs] = self.graph.add(operator, *inputs, **attributes)
        return self._found[operator, inputs]

    def _table(self, head_dim: int, theta: float, working: np.dtype) -> Table:
        key = (head_dim, theta)
        if key not in self._tables:
            grid = self.form.grid
            make = self._free_table if grid is None else self._fixed_table
            angles = rotary_angles(*(grid or (1, LONGEST_SIDE)), head_dim, theta)
            self._tables[key] = (
                make(np.cos(angles), 1.0, working),
                make(np.sin(angles), 0.0, working),
            )
        return self._tables[key]

    def _fixed_table(self, turns: Float[np.ndarray, "N half"], unturned: float, working: np.dtype) -> str:
        last = np.full_like(turns[:1], unturned)
        return self.graph.constant(np.concatenate([turns, last]), dtype=working)

    def _free_table(self, turns: Float[np.ndarray, "S half"], unturned: float, working: np.dtype) -> str:
        """Columns and rows turn alike, each half of the channels: one list of numbered turns serves both."""
        graph, quarter = self.graph, turns.shape[1] // 2
        kept = graph.constant(turns[:, :quarter], dtype=working)
        column = self._once("Mod", self.of_frame, self._width)
        row = self._once("Div", self.of_frame, self._width)
        halves = (graph.add("Gather", kept, numbers) for numbers in (column, row))
        last = graph.constant(np.full((1, 2 * quarter), unturned), dtype=working)
        return graph.add("Concat", graph.add("Concat", *halves, axis=-1), last, axis=0)
