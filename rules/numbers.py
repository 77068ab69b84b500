"""What can count: whole numbers of Python, NumPy, PyTorch and traced graphs."""

from typing import Any


def is_whole_number(value: Any) -> bool:
    """Whether a value can count: an int of Python, a scalar of NumPy or PyTorch, or a traced one, but no bool."""
    if isinstance(value, int):
        return not isinstance(value, bool)
    kind = str(getattr(value, "dtype", "int")).removeprefix("torch.").removeprefix("u")
    return hasattr(value, "__index__") and not tuple(getattr(value, "shape", ())) and kind.startswith("int")


def whole_number(value: Any, name: str, least: int = 0, most: int | None = None, counted: str = "") -> int:
    """Return `value` as an int, or as the symbol that a traced graph has for it.

    Raises `TypeError` if it is no whole number, and `ValueError` below `least` or above `most`, the number of
    what is `counted`.
    """
    if not is_whole_number(value):
        raise TypeError(f"{name} is {value!r}, expected a whole number")
    # An int first: a compiler has no attributes for its symbols.
    number = value if isinstance(value, int) or not hasattr(value, "dtype") else value.__index__()
    if most is not None and not least <= number <= most:
        raise ValueError(f"{name} is {number}, expected {least} to {most}, the number of {counted}")
    if number < least:
        raise ValueError(f"{name} is {number}, expected {least} or more")
    return number
