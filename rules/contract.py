"""Which inputs a memory attention accepts, by shapes and dtype names alone: one contract for both backends."""

from typing import Any

from .numbers import whole_number


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
    placed_tokens(num_obj_ptr_tokens, memory.shape[token_axis])


def placed_tokens(num_obj_ptr_tokens: int, num_memory_tokens: int) -> int:
    """How many memory tokens have a place in the image: all but the pointers.

    Raises `TypeError` or `ValueError` unless the pointer tokens are a part of the memory tokens.
    """
    return num_memory_tokens - whole_number(
        num_obj_ptr_tokens, "num_obj_ptr_tokens", most=num_memory_tokens, counted="memory tokens"
    )


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
    # A union of types is beyond the compiler of PyTorch 2.9.
    if not isinstance(value, (list, tuple)):
        return value
    if len(value) != 1:
        raise ValueError(f"{name} is a list of {len(value)}, expected an array or a list of one")
    return value[0]
