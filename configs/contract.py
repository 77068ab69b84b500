"""What both backends promise: which inputs they accept, and how a caller listens to their steps.

Everything is decided by shapes and dtype names, so that one contract serves NumPy and PyTorch alike.
"""

import math
from collections.abc import Callable
from typing import Any

Record = Callable[[str, Any], Any]
"""Called with a step's name and output; returns the output."""


def unrecorded(name: str, value: Any) -> Any:
    """Listen to nothing."""
    return value


def under(record: Record, prefix: str) -> Record:
    """Listen with `prefix.` before every name."""
    if record is unrecorded:
        return unrecorded
    return lambda name, value: record(f"{prefix}.{name}", value)


def check_inputs(
    curr: Any,
    memory: Any,
    curr_pos: Any,
    memory_pos: Any,
    num_obj_ptr_tokens: int,
    d_model: int,
    memory_dim: int,
    batch_first: bool = False,
    one_dtype: bool = True,
) -> None:
    """Raise `TypeError` or `ValueError` for inputs that memory attention cannot take.

    `curr` [N,B,C] and `memory` [M,B,C_m], or [B,N,C] and [B,M,C_m] where `batch_first`; the positions
    like them, or none. The batch of `curr` may be 1, a frame that all objects share. All are floating, and
    where `one_dtype` of the same dtype.
    """
    layout = ("B", "{}", "{}") if batch_first else ("{}", "B", "{}")
    shapes = {
        name: f"[{','.join(layout).format(*letters)}]"
        for name, letters in (("curr", ("N", f"C={d_model}")), ("memory", ("M", f"C_m={memory_dim}")))
    }
    inputs = {"curr": curr, "memory": memory, "curr_pos": curr_pos, "memory_pos": memory_pos}
    given = {name: value for name, value in inputs.items() if value is not None}
    for name in ("curr", "memory"):
        if name not in given:
            raise TypeError(f"{name} is None, expected an array {shapes[name]}")
    for name, value in given.items():
        expected = shapes[name.removesuffix("_pos")]
        if not hasattr(value, "shape") or not hasattr(value, "dtype") or hasattr(value, "mask"):
            raise TypeError(f"{name} is {type(value).__name__}, expected an array {expected}")
        if len(value.shape) != 3:
            raise ValueError(f"{name} has shape {tuple(value.shape)}, expected rank 3: {expected}")
        if not is_floating(value.dtype):
            raise TypeError(f"{name} has dtype {value.dtype}, expected a floating dtype")
        if one_dtype and value.dtype != curr.dtype:
            raise TypeError(f"{name} has dtype {value.dtype}, expected that of curr, {curr.dtype}")

    token_axis, batch_axis = (1, 0) if batch_first else (0, 1)
    for name, width in (("curr", d_model), ("memory", memory_dim)):
        shape = tuple(given[name].shape)
        if shape[2] != width:
            raise ValueError(f"{name} has {shape[2]} channels, expected {width}: {shapes[name]}")
        if 0 in shape:
            raise ValueError(f"{name} is empty (shape {shape}), expected at least one token and one object")
        pos = given.get(f"{name}_pos")
        if pos is not None and tuple(pos.shape) != shape:
            raise ValueError(f"{name}_pos has shape {tuple(pos.shape)}, expected the shape of {name}, {shape}")
    if curr.shape[batch_axis] not in (1, memory.shape[batch_axis]):
        raise ValueError(
            f"memory has batch {memory.shape[batch_axis]}, expected the batch of curr, {curr.shape[batch_axis]}"
        )
    check_pointers(num_obj_ptr_tokens, memory.shape[token_axis])


def check_pointers(num_obj_ptr_tokens: int, num_memory_tokens: int) -> None:
    """Raise unless the pointer tokens are a part of the memory tokens."""
    if not is_whole_number(num_obj_ptr_tokens):
        raise TypeError(f"num_obj_ptr_tokens is {num_obj_ptr_tokens!r}, expected a whole number")
    if num_obj_ptr_tokens < 0 or num_obj_ptr_tokens > num_memory_tokens:
        raise ValueError(
            f"num_obj_ptr_tokens is {num_obj_ptr_tokens}, expected 0 to {num_memory_tokens}, "
            "the number of memory tokens"
        )


def is_whole_number(value: Any) -> bool:
    """Whether a value can count: an int of Python, NumPy or a torch graph, but no bool."""
    kind = str(getattr(value, "dtype", "int")).removeprefix("u")
    is_scalar = hasattr(value, "__index__") and not isinstance(value, bool) and not getattr(value, "shape", ())
    return is_scalar and kind.startswith("int")


def require_position(position: Any, name: str, flag: str) -> Any:
    """Return an encoding that a flag asks for, or raise `ValueError` if it was not given."""
    if position is None:
        raise ValueError(f"{name} is None, expected an encoding because {flag} is set")
    return position


def is_floating(dtype: Any) -> bool:
    """Whether a NumPy or torch dtype is a real floating one."""
    name = getattr(dtype, "name", str(dtype).removeprefix("torch."))
    return name in ("float16", "bfloat16", "float32", "float64", "float128", "longdouble")


def unwrap_list(value: Any, name: str) -> Any:
    """SAM 2 hands over the current frame as a list of one array: take it out."""
    if not isinstance(value, list | tuple):
        return value
    if len(value) != 1:
        raise ValueError(f"{name} is a list of {len(value)}, expected an array or a list of one")
    return value[0]


def check_grid(grid: Any, name: str = "grid") -> tuple[int, int]:
    """Return a pair of whole numbers as a tuple of ints, or raise `TypeError` naming the argument."""
    pair = tuple(grid) if hasattr(grid, "__len__") and not isinstance(grid, str) else ()
    whole = [int(side) for side in pair if is_whole_number(side)]
    if len(pair) != 2 or len(whole) != 2:
        raise TypeError(f"{name} is {grid!r}, expected a pair of whole numbers")
    return whole[0], whole[1]


def grid_of(num_tokens: int, grid: tuple[int, int] | None, feat_sizes: tuple[int, int]) -> tuple[int, int]:
    """The (h, w) of `num_tokens` tokens: `grid` if given, else `feat_sizes` (w, h) if it fits, else a square.

    Raises `ValueError` where none of them has that many tokens.
    """
    if grid is not None:
        height, width = check_grid(grid)
        if height < 1 or width < 1 or height * width != num_tokens:
            raise ValueError(f"grid {tuple(grid)} has {height * width} tokens, expected {num_tokens}")
        return height, width
    width, height = feat_sizes
    if height * width == num_tokens:
        return height, width
    side = math.isqrt(num_tokens)
    if side * side == num_tokens:
        return side, side
    raise ValueError(
        f"{num_tokens} query tokens are neither feat_sizes {tuple(feat_sizes)} nor a square grid; give grid=(h, w)"
    )


def frames_of_keys(num_rotated: int, num_queries: int, rope_k_repeat: bool) -> int:
    """How many memory frames the rotated keys are: each has one key per query token.

    Raises `ValueError` where they are no whole number, or more than one without `rope_k_repeat`.
    """
    if num_rotated % num_queries:
        raise ValueError(
            f"{num_rotated} rotated keys are no whole multiple of the {num_queries} query tokens; "
            "num_obj_ptr_tokens says how many keys at the end have no place in the image"
        )
    frames = num_rotated // num_queries
    if frames > 1 and not rope_k_repeat:
        raise ValueError(
            f"{num_rotated} rotated keys for {num_queries} query tokens need rope_k_repeat, "
            "which is off: expected as many rotated keys as query tokens"
        )
    return frames
