"""Step 2: where a token is. Sine encodings are added to tokens, rotary encodings turn queries and keys."""

import numpy as np
from jaxtyping import Float


def sine_frequencies(channels: int) -> Float[np.ndarray, " c"]:
    """1 / 10000^(2⌊i/2⌋/c) for channel i of c: neighbours share a frequency, one takes its sine, one its cosine.

    Source: Vaswani et al., 2017, arXiv:1706.03762, section 3.5.
    """
    i = np.arange(channels)
    return 10000.0 ** (-2 * (i // 2) / channels)


def sine_encoding_2d(height: int, width: int, channels: int) -> Float[np.ndarray, "h w C"]:
    """Encode every place of a grid: y in the first half of the channels, x in the second (float64).

    Rows 1…h and columns 1…w are divided by their last and multiplied by 2π; even channels are sines,
    odd ones cosines. `channels` must be divisible by 4.
    Source: DETR, Carion et al., 2020, arXiv:2005.12872, appendix A.4; SAM 2's `PositionEmbeddingSine`.
    """
    if channels % 4:
        raise ValueError(f"channels is {channels}, expected a multiple of 4")

    def encode(count: int) -> Float[np.ndarray, "n c"]:
        places = np.arange(1, count + 1) / (count + 1e-6) * 2 * np.pi
        angles = np.outer(places, sine_frequencies(channels // 2))
        angles[:, 0::2] = np.sin(angles[:, 0::2])
        angles[:, 1::2] = np.cos(angles[:, 1::2])
        return angles

    y = np.broadcast_to(encode(height)[:, None], (height, width, channels // 2))
    x = np.broadcast_to(encode(width)[None, :], (height, width, channels // 2))
    return np.concatenate([y, x], axis=-1)


def sine_encoding_1d(positions: Float[np.ndarray, " P"], channels: int) -> Float[np.ndarray, "P C"]:
    """Encode points in time, as they are: all sines first, then all cosines (float64).

    `channels` must be even. Source: SAM 2's `get_1d_sine_pe`, for the temporal encoding of pointers.
    """
    if channels % 2:
        raise ValueError(f"channels is {channels}, expected an even number")
    angles = np.outer(positions, sine_frequencies(channels // 2))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)


def rotary_angles(height: int, width: int, head_dim: int, theta: float = 10000.0) -> Float[np.ndarray, "N half"]:
    """The angle by which each pair of channels turns, for every token of a grid, row by row (radians, float64).

    θ_j = theta^(−4j/d) for j = 0…d/4−1; token t is at x = t mod w, y = ⌊t/w⌋; its d/2 angles are
    [x·θ_0 … x·θ_{d/4−1}, y·θ_0 … y·θ_{d/4−1}]. `head_dim` d must be divisible by 4.
    Source: axial RoPE, Heo et al., 2024, arXiv:2403.13298, section 3.2.
    """
    if head_dim % 4:
        raise ValueError(f"head_dim is {head_dim}, expected a multiple of 4")
    frequencies = theta ** (-4 * np.arange(head_dim // 4) / head_dim)
    y, x = np.divmod(np.arange(height * width), width)
    return np.concatenate([np.outer(x, frequencies), np.outer(y, frequencies)], axis=-1)


def rotate(
    x: Float[np.ndarray, "*rest N d"], angles: Float[np.ndarray, "N half"]
) -> Float[np.ndarray, "*rest N d"]:
    """Turn each pair of channels (2i, 2i+1) of token t by angles[t, i]: (a, b) → (a cos − b sin, a sin + b cos).

    A score between two rotated vectors depends on the difference of their angles only. In float32 or
    better, then back to the dtype of `x`. Source: RoFormer, Su et al., 2021, arXiv:2104.09864, equation 34.
    """
    working = np.promote_types(x.dtype, np.float32)
    cos, sin = np.cos(angles).astype(working), np.sin(angles).astype(working)
    a, b = x[..., 0::2].astype(working), x[..., 1::2].astype(working)
    rotated = np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape)
    return rotated.astype(x.dtype, copy=False)
