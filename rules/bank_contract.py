"""What the memory banks of both backends accept, decided by shapes and dtype names alone."""

import math
from collections.abc import Iterable
from typing import Any

from .contract import is_floating
from .grids import check_grid
from .numbers import whole_number

# NumPy's subclasses that do not behave like an array: a mask would be lost, a matrix has always two axes.
UNLIKE_ARRAYS = ("MaskedArray", "matrix")


def check_new_frame(frame: Any, stored: Iterable[int]) -> int:
    """Return the number of a frame to be added; raises if it is no frame number, or there already."""
    number = whole_number(frame, "frame")
    if number in stored:
        raise ValueError(f"frame {number} is in the bank already, expected a new one; remove it first")
    return number


def check_current_frame(frame: Any, num_frames: Any) -> int:
    """Return the number of a frame to be tracked; raises unless it is a frame of the video."""
    number = whole_number(frame, "frame")
    if num_frames is not None and number >= whole_number(num_frames, "num_frames", least=1):
        raise ValueError(f"frame is {number}, expected one below num_frames, {num_frames}")
    return number


def check_frame_outputs(
    memory: Any,
    pointer: Any,
    absent: Any,
    d_model: int,
    memory_dim: int,
    array_type: type[Any],
    earlier: Any,
) -> None:
    """Raise `TypeError` or `ValueError` for outputs of a frame that the bank cannot store.

    `memory` [B,C_m,h,w], like `earlier`, that of an earlier frame, if any; `pointer` [B,C] or none; `absent`
    [B] of bool or none.
    """
    _check_floating(memory, "memory", ("B", f"C_m={memory_dim}", "h", "w"), memory_dim, array_type)
    if earlier is not None and tuple(memory.shape) != tuple(earlier.shape):
        raise ValueError(
            f"memory has shape {tuple(memory.shape)}, expected that of the earlier frames, {tuple(earlier.shape)}"
        )
    if earlier is not None and memory.dtype != earlier.dtype:
        raise TypeError(f"memory has dtype {memory.dtype}, expected that of the earlier frames, {earlier.dtype}")
    if pointer is not None:
        _check_floating(pointer, "pointer", ("B", f"C={d_model}"), d_model, array_type)
        _check_batch(pointer, "pointer", memory.shape[0])
    if absent is not None:
        _check_array(absent, "absent", ("B",), array_type)
        if str(absent.dtype).removeprefix("torch.") != "bool":
            raise TypeError(f"absent has dtype {absent.dtype}, expected bool")
        _check_batch(absent, "absent", memory.shape[0])


def check_score(score: Any, needed: bool) -> float | None:
    """Return the effective IoU score of a tracked frame as a float; none may be missing where it is `needed`."""
    if score is None:
        if needed:
            raise ValueError(
                "score is None, expected the frame's effective IoU score because use_memory_selection is set"
            )
        return None
    number = score.item() if hasattr(score, "item") and tuple(score.shape) == () else score
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(f"score is {type(score).__name__}, expected one real number for the whole frame")
    if not math.isfinite(number):
        raise ValueError(f"score is {number}, expected a finite number")
    return float(number)


def grid_of_memories(grid: Any, memory: Any, features: Any) -> tuple[int, int]:
    """Return the (h, w) of `memory` [B,C_m,h,w]; raises unless it is that of the `features` [N,B,C] and `grid`."""
    height, width = memory.shape[-2:]
    if grid is not None and check_grid(grid) != (height, width):
        raise ValueError(f"grid is {tuple(grid)}, expected that of the memories, {(height, width)}")
    if height * width != features.shape[0]:
        raise ValueError(f"features has {features.shape[0]} tokens, expected the memories' grid {(height, width)}")
    return height, width


def check_features(features: Any, d_model: int, array_type: type[Any]) -> None:
    """Raise `TypeError` or `ValueError` unless `features` are the tokens [N,B,C] of a frame."""
    _check_floating(features, "features", ("N", "B", f"C={d_model}"), d_model, array_type, channel_axis=2)


def check_shared_frame(features: Any, d_model: int, array_type: type[Any]) -> None:
    """Raise `TypeError` or `ValueError` unless `features` are the tokens [N,1,C] of a frame that objects share."""
    check_features(features, d_model, array_type)
    if features.shape[1] != 1:
        raise ValueError(f"features has batch {features.shape[1]}, expected 1: a frame that all objects share")


def _check_floating(
    value: Any, name: str, axes: tuple[str, ...], channels: int, array_type: type[Any], channel_axis: int = 1
) -> None:
    _check_array(value, name, axes, array_type)
    if not is_floating(value.dtype):
        raise TypeError(f"{name} has dtype {value.dtype}, expected a floating dtype")
    if value.shape[channel_axis] != channels:
        raise ValueError(
            f"{name} has {value.shape[channel_axis]} channels, expected {channels}: [{','.join(axes)}]"
        )


def _check_array(value: Any, name: str, axes: tuple[str, ...], array_type: type[Any]) -> None:
    expected = f"[{','.join(axes)}]"
    if not isinstance(value, array_type) or type(value).__name__ in UNLIKE_ARRAYS:
        raise TypeError(f"{name} is {type(value).__name__}, expected {array_type.__name__} {expected}")
    shape = tuple(value.shape)
    if len(shape) != len(axes):
        raise ValueError(f"{name} has shape {shape}, expected rank {len(axes)}: {expected}")
    if 0 in shape:
        raise ValueError(f"{name} is empty (shape {shape}), expected {expected}")


def _check_batch(value: Any, name: str, batch: int) -> None:
    if value.shape[0] != batch:
        raise ValueError(f"{name} has batch {value.shape[0]}, expected the batch of memory, {batch}")
