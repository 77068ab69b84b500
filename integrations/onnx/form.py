"""What an exported graph is to be: its opset, its dtype, its grid."""

from dataclasses import dataclass

OPSETS = (18, 23)
"""The oldest that has what the graph needs, and the first with operators for attention and rotation."""

DTYPES = ("float32", "float16", "float64")

LONGEST_SIDE = 512
"""Rows or columns that a graph with a free grid can take."""


@dataclass(frozen=True)
class Form:
    """Opset, dtype, and the (h, w) of the frame; without one the graph takes it as an input of its own."""

    opset: int = 23
    dtype: str = "float32"
    grid: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise ValueError(f"opset is {self.opset}, expected one of {', '.join(map(str, OPSETS))}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is {self.dtype!r}, expected one of {', '.join(DTYPES)}")
        if self.has_operators and self.dtype == "float64":
            raise ValueError(
                "dtype is 'float64', which opset 23's RotaryEmbedding does not take: expected opset 18"
            )
        if self.grid is not None and min(self.grid) < 1:
            raise ValueError(f"grid is {self.grid}, expected at least one row and one column")

    @property
    def has_operators(self) -> bool:
        """Whether attention and rotation are operators of their own, `Attention` and `RotaryEmbedding`."""
        return self.opset >= 23
