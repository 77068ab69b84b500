"""The axial rotary encoding in ONNX: every token looks its angles up by its place, and pointers have one without."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ...reference.position import rotary_angles
from .form import LONGEST_SIDE, Form
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
            self._sides = graph.split(
                "Split", graph.input("grid", [2], np.int64), outputs=2, axis=0, num_outputs=2
            )
            self._count = graph.add("Mul", *self._sides)
            self.of_frame = self._numbers_up_to(self._count)
        else:
            count = form.grid[0] * form.grid[1]
            self._count = graph.whole(count)
            self.of_frame = graph.constant(np.arange(count))

    def of_memory(self, memory_tokens: str, pointer_tokens: str, most: int | None = None) -> str:
        """The frame's places over and over, then that of pointers; `memory_tokens` and `pointer_tokens` are [1].

        Tokens that are no whole number of frames, or are more than `most`, get too few places: it cannot run.
        """
        graph = self.graph
        frames = graph.add("Div", memory_tokens, self._count)
        if most is not None:
            frames = graph.add("Min", frames, graph.whole(most))
        spatial = graph.add("Tile", self.of_frame, frames)
        return graph.add("Concat", spatial, graph.add("Expand", self._count, pointer_tokens), axis=0)

    def rotate(self, x: str, places: str, batch: str, head_dim: int, theta: float) -> str:
        """Turn `x` [B,H,T,d] by the angles of its `places` [T], in float32 or better; `batch` is B, [1]."""
        graph = self.graph
        working = np.promote_types(graph.dtype, np.float32)
        table = self._table(head_dim, theta, working)
        looked_up = cos, sin = [self._once("Gather", part, places) for part in table]
        widened = x if working == graph.dtype else graph.cast(x, working)
        if self.form.has_operators:
            each = self._once("Concat", batch, self._ones, axis=0)
            looked_up = [self._once("Expand", part, each) for part in looked_up]
            turned = graph.add("RotaryEmbedding", widened, *looked_up, interleaved=1)
        else:
            turned = self._by_hand(widened, cos, sin, head_dim)
        return turned if working == graph.dtype else graph.cast(turned, graph.dtype)

    def _once(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The value of an operator that is the same in every layer."""
        if (operator, inputs) not in self._found:
            self._found[operator, inputs] = self.graph.add(operator, *inputs, **attributes)
        return self._found[operator, inputs]

    def _by_hand(self, x: str, cos: str, sin: str, head_dim: int) -> str:
        """(a, b) → (a cos − b sin, a sin + b cos) for the pairs of channels (2i, 2i+1)."""
        graph = self.graph
        cos, sin = (self._once("Unsqueeze", part, self._last) for part in (cos, sin))
        pairs = graph.add("Reshape", x, graph.whole(0, 0, 0, head_dim // 2, 2))
        a, b = graph.split("Split", pairs, outputs=2, axis=-1, num_outputs=2)
        real = graph.add("Sub", graph.add("Mul", a, cos), graph.add("Mul", b, sin))
        imaginary = graph.add("Add", graph.add("Mul", a, sin), graph.add("Mul", b, cos))
        turned = graph.add("Concat", real, imaginary, axis=-1)
        return graph.add("Reshape", turned, graph.whole(0, 0, 0, head_dim))

    def _table(self, head_dim: int, theta: float, working: np.dtype) -> Table:
        if (head_dim, theta) not in self._tables:
            make = self._fixed_table if self.form.grid else self._free_table
            self._tables[head_dim, theta] = make(head_dim, theta, working)
        return self._tables[head_dim, theta]

    def _fixed_table(self, head_dim: int, theta: float, working: np.dtype) -> Table:
        assert self.form.grid is not None
        angles = rotary_angles(*self.form.grid, head_dim, theta)
        angles = np.concatenate([angles, np.zeros_like(angles[:1])])
        return self._kept(np.cos(angles), working), self._kept(np.sin(angles), working)

    def _free_table(self, head_dim: int, theta: float, working: np.dtype) -> Table:
        """Rows and columns turn by angles of their own numbers, of which every one up to the longest side is kept."""
        graph = self.graph
        angles: Float[np.ndarray, "S quarter"] = rotary_angles(1, LONGEST_SIDE, head_dim, theta)[
            :, : head_dim // 4
        ]
        columns = graph.add("Mod", self.of_frame, self._sides[1])
        rows = graph.add("Div", self.of_frame, self._sides[1])

        def look_up(kept: np.ndarray, unturned: float) -> str:
            name = self._kept(kept, working)
            halves = [graph.add("Gather", name, numbers) for numbers in (columns, rows)]
            table = graph.add("Concat", *halves, axis=-1)
            last = self._kept(np.full((1, head_dim // 2), unturned), working)
            return graph.add("Concat", table, last, axis=0)

        return look_up(np.cos(angles), 1.0), look_up(np.sin(angles), 0.0)

    def _kept(self, table: np.ndarray, working: np.dtype) -> str:
        return self.graph.constant(table, dtype=working)

    def _numbers_up_to(self, count: str) -> str:
        graph = self.graph
        zero, one = graph.constant(np.array(0)), graph.constant(np.array(1))
        return graph.add("Range", zero, graph.add("Squeeze", count), one)
