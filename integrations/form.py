"""What an exported graph is to be: its opset, dtype, grid, and in how many parts queries attend."""

from dataclasses import dataclass

OPSETS = (18, 23)
"""The oldest that has what the graph needs, and the first with operators for attention and rotation."""

DTYPES = ("float32", "float16", "float64")

LONGEST_SIDE = 512
"""Rows or columns that a graph with a free grid can take."""


@dataclass(frozen=True)
class Form:
    """Opset, dtype, the (h, w) of the frame or none for a graph that takes it as an input, parts of the queries.

    A runtime whose attention holds all its logits holds only those of one part at a time.
    """

    opset: int = 23
    dtype: str = "float32"
    grid: tuple[int, int] | None = None
    parts: int = 1

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise ValueError(f"opset is {self.opset}, expected {' or '.join(map(str, OPSETS))}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is {self.dtype!r}, expected one of {', '.join(DTYPES)}")
        if self.has_operators and self.dtype == "float64":
            raise ValueError("dtype is 'float64', which RotaryEmbedding of opset 23 has not: expected opset 18")
        if self.grid is not None and min(self.grid) < 1:
            raise ValueError(f"grid is {self.grid}, expected at least one row and one column")
        if self.parts < 1:
            raise ValueError(f"parts is {self.parts}, expected at least 1")
        if self.parts > 1 and (self.grid is None or self.grid[0] * self.grid[1] < self.parts):
            raise ValueError(f"parts is {self.parts}, expected a fixed grid with at least so many tokens")

    @property
    def has_operators(self) -> bool:
        """Whether attention and rotation are operators of their own, `Attention` and `RotaryEmbedding`."""
        return self.opset >= 23

    @property
    def num_tokens(self) -> int | str:
        """Tokens of a frame; with a free grid the name of their number."""
        return "tokens" if self.grid is None else self.grid[0] * self.grid[1]
