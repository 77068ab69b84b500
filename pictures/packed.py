"""Attention as a page holds it: small, and read by a browser alone."""

import base64
import io
import zlib
from typing import Any

import numpy as np
from jaxtyping import Float

from ..cells import cell_means
from ..looks import Look


def packed_look(look: Look | None, coarser: int) -> dict[str, Any] | None:
    """How one object looked in a frame; the heat on a grid with sides that are so many times shorter."""
    if look is None:
        return None
    drawn = -(-look.grid[0] // coarser), -(-look.grid[1] // coarser)
    packed: dict[str, Any] = {
        "grid": look.grid,
        "drawn": drawn,
        "queries": look.queries.tolist(),
        "memories": look.memory_frames or [None] * look.num_memories,
        "pointers": [None] * bool(look.num_obj_ptr_tokens) if look.pointer_frames is None else look.pointer_frames,
        "prompted": look.prompted,
        "called": look.frame_known,
        "rows": {"cross": {}, "self": {}},
    }
    for (kind, layer), rows in look.rows.items():
        row = rows.mean(axis=0)
        frames, pointers = look.cut(row) if kind == "cross" else ([row], [])
        packed["rows"][kind][layer] = _packed_rows(frames, pointers, look.grid, drawn)
    return packed


def _packed_rows(
    frames: list[Float[np.ndarray, "Q hw"]],
    pointers: list[Float[np.ndarray, "Q p"]],
    grid: tuple[int, int],
    drawn: tuple[int, int],
) -> dict[str, Any]:
    """The heat [Q, all cells and pointer tokens] in 256 steps of each row's largest, that, and exact shares."""
    parts = [_drawn(frame, grid, drawn) for frame in frames] + pointers
    row = np.concatenate(parts, axis=1)
    top = row.max(axis=1, keepdims=True)
    heat = (row / np.where(top > 0, top, 1) * 255).round().astype(np.uint8)
    shares = np.stack([part.sum(axis=1) for part in (*frames, *pointers)], axis=1)
    return {
        "heat": base64.b64encode(zlib.compress(heat.tobytes())).decode(),
        "top": to_base64(top.astype("<f4")),
        "shares": to_base64(shares.astype("<f4")),
        "tokens": [pointer.shape[1] for pointer in pointers],
    }


def _drawn(
    frame: Float[np.ndarray, "Q hw"], grid: tuple[int, int], drawn: tuple[int, int]
) -> Float[np.ndarray, "Q cells"]:
    if grid == drawn:
        return frame
    return cell_means(frame.T.reshape(*grid, -1), drawn).reshape(-1, len(frame)).T


def packed_size(frames: list[list[dict[str, Any] | None]]) -> int:
    """The bytes that all rows take: the heat, its largest, and the shares."""
    looks = [look for looks in frames for look in looks if look is not None]
    rows = [rows for look in looks for layers in look["rows"].values() for rows in layers.values()]
    return sum(len(each[name]) for each in rows for name in ("heat", "top", "shares"))


def to_base64(array: np.ndarray) -> str:
    """An array's bytes, as text."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def png(image: np.ndarray) -> str:
    """An image (uint8), as an address that holds it."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
