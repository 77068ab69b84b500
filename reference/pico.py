"""The whole memory attention of SAM 2 on one page: forward only, one head, its settings written in, no checks.

B objects; N = h·w tokens of the frame, C channels wide; M tokens of memory, C_m channels wide: one memory of N
tokens after another, and last the object pointers. Each step has a file of its own beside this one.

    weights = memory_attention.load("sam2.1_hiera_t").weights
    x = pico.memory_attention(weights, curr, memory, curr_pos, memory_pos, num_obj_ptr_tokens, grid=(64, 64))

Source: SAM 2, Ravi et al., 2024, arXiv:2408.00714, section 4 and appendix C.1.
"""

import numpy as np

Array = np.ndarray
Weights = dict[str, Array]
Grid = tuple[int, int]


def linear(weights: Weights, name: str, x: Array) -> Array:  # [B, T, I] -> [B, T, O]
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def layer_norm(weights: Weights, name: str, x: Array) -> Array:  # [B, T, C] -> [B, T, C]
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def softmax(logits: Array) -> Array:  # [B, N, M] -> [B, N, M], whose rows sum to one
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def rotate(x: Array, grid: Grid) -> Array:  # [B, F·N, d] -> [B, F·N, d], each of F frames over the same grid
    height, width = grid
    row, column = np.divmod(np.arange(x.shape[1]) % (height * width), width)
    theta = 10000.0 ** (-4 * np.arange(x.shape[2] // 4) / x.shape[2])  # [d/4]
    angles = np.concatenate([np.outer(column, theta), np.outer(row, theta)], axis=1)  # [F·N, d/2]
    cos, sin = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    a, b = x[..., 0::2], x[..., 1::2]
    return np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape)


def attention(
    weights: Weights, name: str, q: Array, k: Array, v: Array, grid: Grid, num_k_exclude_rope: int = 0
) -> Array:  # [B, N, C], [B, M, C_m], [B, M, C_m] -> [B, N, C]
    q, k, v = (linear(weights, f"{name}.{part}_proj", x) for part, x in (("q", q), ("k", k), ("v", v)))
    placed = k.shape[1] - num_k_exclude_rope
    q, k = rotate(q, grid), np.concatenate([rotate(k[:, :placed], grid), k[:, placed:]], axis=1)
    attended = softmax(q @ k.swapaxes(1, 2) / q.shape[2] ** 0.5) @ v
    return linear(weights, f"{name}.out_proj", attended)


def layer(
    weights: Weights, name: str, tgt: Array, memory: Array, pos: Array, grid: Grid, num_k_exclude_rope: int
) -> Array:  # [B, N, C], [B, M, C_m], [B, M, C_m] -> [B, N, C]
    y = layer_norm(weights, f"{name}.norm1", tgt)
    tgt = tgt + attention(weights, f"{name}.self_attn", y, y, y, grid)
    y = layer_norm(weights, f"{name}.norm2", tgt)
    tgt = tgt + attention(weights, f"{name}.cross_attn_image", y, memory + pos, memory, grid, num_k_exclude_rope)
    y = layer_norm(weights, f"{name}.norm3", tgt)
    return tgt + linear(weights, f"{name}.linear2", np.maximum(linear(weights, f"{name}.linear1", y), 0))


def memory_attention(
    weights: Weights,
    curr: Array,  # [N, B, C]
    memory: Array,  # [M, B, C_m]
    curr_pos: Array,  # [N, B, C]
    memory_pos: Array,  # [M, B, C_m]
    num_obj_ptr_tokens: int,
    grid: Grid,  # (h, w)
) -> Array:  # [N, B, C]
    x, memory, pos = (tokens.swapaxes(0, 1) for tokens in (curr + 0.1 * curr_pos, memory, memory_pos))
    layers = {name.split(".")[2] for name in weights if name.startswith("memory_attention.layers.")}
    for index in range(len(layers)):
        x = layer(weights, f"memory_attention.layers.{index}", x, memory, pos, grid, num_obj_ptr_tokens)
    return layer_norm(weights, "memory_attention.norm", x).swapaxes(0, 1)
