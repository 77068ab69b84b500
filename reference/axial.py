"""Queries can go to memory space, as values do. The accelerated backend does so; the model here does not."""

import numpy as np
from jaxtyping import Float

from .position import rotary_angles, rotate


def with_one(memory: Float[np.ndarray, "*rest K"]) -> Float[np.ndarray, "*rest K1"]:
    """Memories with a last channel of ones, [m, 1]: a bias is its weight."""
    return np.concatenate([memory, np.ones_like(memory[..., :1])], axis=-1)


def queries_in_memory_space(
    query: Float[np.ndarray, "N d"],
    weight: Float[np.ndarray, "d K"],
    bias: Float[np.ndarray, " d"],
    height: int,
    width: int,
    theta: float = 10000.0,
) -> tuple[Float[np.ndarray, "N w K1"], Float[np.ndarray, "N h K1"]]:
    """u and v, so that a rotated query q meets the key of memory m at column x and row y in (u_x + v_y) · [m, 1].

    Keys are linear, k = W m + b = [W, b] [m, 1]. The rotation R(x, y) turns the first half of a key's
    channels by R(x) and the second by R(y), so with q, W and b cut in two halves likewise

        q · R(x, y) k = q₁ · R(x) [W₁, b₁] [m, 1] + q₂ · R(y) [W₂, b₂] [m, 1] = (u_x + v_y) · [m, 1],
        u_x = (R(x) [W₁, b₁])ᵀ q₁,   v_y = (R(y) [W₂, b₂])ᵀ q₂.

    No key is projected or rotated: a query has K + 1 numbers for every column and every row, and two products
    of K + 1 with each memory take the place of one of d. Keys without a place meet [W, b]ᵀ q.
    """
    half = query.shape[-1] // 2
    parts = np.concatenate([weight, bias[:, None]], axis=1).T[:, None]
    columns = rotate(
        np.repeat(parts[..., :half], width, axis=1), rotary_angles(1, width, 2 * half, theta)[:, : half // 2]
    )
    rows = rotate(
        np.repeat(parts[..., half:], height, axis=1), rotary_angles(height, 1, 2 * half, theta)[:, half // 2 :]
    )
    u = np.einsum("nc,kxc->nxk", query[:, :half], columns)
    v = np.einsum("nc,kyc->nyk", query[:, half:], rows)
    return u, v


def logits_from_memory_space(
    query: Float[np.ndarray, "N d"],
    memory: Float[np.ndarray, "M K"],
    weight: Float[np.ndarray, "d K"],
    bias: Float[np.ndarray, " d"],
    height: int,
    width: int,
    theta: float = 10000.0,
    num_k_exclude_rope: int = 0,
) -> Float[np.ndarray, "N M"]:
    """q kᵀ of one head for rotated queries, and keys W m + b rotated by their places but for the last ones."""
    tokens, placed = with_one(memory), len(memory) - num_k_exclude_rope
    u, v = queries_in_memory_space(query, weight, bias, height, width, theta)
    y, x = np.divmod(np.arange(placed) % (height * width), width)
    on_grid = np.einsum("nmk,mk->nm", u[:, x] + v[:, y], tokens[:placed])
    without_place = query @ np.concatenate([weight, bias[:, None]], axis=1) @ tokens[placed:].T
    return np.concatenate([on_grid, without_place], axis=1)
