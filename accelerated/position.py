"""Step 2: where a token is. Sine encodings are added to tokens, rotary encodings turn queries and keys."""

import functools
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from .tracing import is_traced

Device: TypeAlias = torch.device | str | None


class Places(NamedTuple):
    """Where keys are: on the grids of some frames, one after the other; theta is the rotation's."""

    height: int
    width: int
    frames: int
    theta: float


def float64_device(device: Device = None) -> torch.device:
    """Where float64 is computed for a device: there, or for those that may lack it (MPS does) on the CPU."""
    found = torch.get_default_device() if device is None else torch.device(device)
    return found if found.type in ("cpu", "cuda") else torch.device("cpu")


def sine_frequencies(channels: int, device: Device = None) -> Float[Tensor, " c"]:
    """1 / 10000^(2⌊i/2⌋/c) for channel i of c (float64, on the `float64_device`).

    Source: Vaswani et al., 2017, arXiv:1706.03762, section 3.5.
    """
    i = torch.arange(channels, dtype=torch.float64, device=float64_device(device))
    return 10000.0 ** (-2 * (i // 2) / channels)


def sine_encoding_2d(height: int, width: int, channels: int, device: Device = None) -> Float[Tensor, "h w C"]:
    """Encode every place of a grid: y in the first half of the channels, x in the second.

    `channels` must be divisible by 4. In float64, on the `float64_device`.
    Source: DETR, Carion et al., 2020, arXiv:2005.12872, appendix A.4; SAM 2's `PositionEmbeddingSine`.
    """
    if channels % 4:
        raise ValueError(f"channels is {channels}, expected a multiple of 4")

    def encode(count: int) -> Float[Tensor, "n c"]:
        numbers = torch.arange(1, count + 1, dtype=torch.float64, device=float64_device(device))
        places = numbers / (count + 1e-6) * 2 * torch.pi
        angles = torch.outer(places, sine_frequencies(channels // 2, device))
        return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=-1).flatten(-2)

    y = encode(height)[:, None].expand(height, width, channels // 2)
    x = encode(width)[None, :].expand(height, width, channels // 2)
    return torch.cat([y, x], dim=-1)


def sine_encoding_1d(positions: Float[Tensor, " P"], channels: int) -> Float[Tensor, "P C"]:
    """Encode points in time, as they are: all sines first, then all cosines (float64, on the `float64_device`).

    `channels` must be even. Source: SAM 2's `get_1d_sine_pe`, for the temporal encoding of pointers.
    """
    if channels % 2:
        raise ValueError(f"channels is {channels}, expected an even number")
    frequencies = sine_frequencies(channels // 2, positions.device)
    angles = torch.outer(positions.to(frequencies.device).double(), frequencies)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def rotary_angles(
    height: int, width: int, head_dim: int, theta: float = 10000.0, device: Device = None
) -> Float[Tensor, "N half"]:
    """The angle by which each pair of channels turns, for every token of a grid, row by row (radians).

    `head_dim` must be divisible by 4. In float64, on the `float64_device`.
    Source: axial RoPE, Heo et al., 2024, arXiv:2403.13298, section 3.2.
    """
    if head_dim % 4:
        raise ValueError(f"head_dim is {head_dim}, expected a multiple of 4")
    where = float64_device(device)
    frequencies = theta ** (-4 * torch.arange(head_dim // 4, dtype=torch.float64, device=where) / head_dim)
    token = torch.arange(height * width, dtype=torch.float64, device=where)
    x, y = token % width, token // width
    return torch.cat([torch.outer(x, frequencies), torch.outer(y, frequencies)], dim=-1)


@functools.lru_cache(maxsize=16)
def kept_sine_encoding_2d(height: int, width: int, channels: int, device: torch.device) -> Float[Tensor, "h w C"]:
    """`sine_encoding_2d`, computed once for every grid and kept."""
    with torch.inference_mode(False), torch.no_grad():
        return _finished(sine_encoding_2d(height, width, channels, device))


@functools.lru_cache(maxsize=16)
def kept_rotary_table(
    height: int, width: int, head_dim: int, theta: float, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "N half 2"]:
    """`rotary_table`, computed once for every grid and kept."""
    with torch.inference_mode(False), torch.no_grad():
        return _finished(rotary_table(height, width, head_dim, theta, device, dtype))


def rotary_table_for(
    x: Float[Tensor, "*rest N d"], height: int, width: int, theta: float
) -> Float[Tensor, "N half 2"]:
    """The `rotary_table` of tokens: the kept one, but a trace makes its own."""
    make_table = rotary_table if is_traced(x) else kept_rotary_table
    return make_table(height, width, x.shape[-1], theta, x.device, x.dtype)


def _finished(table: Tensor) -> Tensor:
    """The table once it is computed: on a GPU another stream may be the next to read it."""
    if table.is_cuda:
        torch.cuda.current_stream(table.device).synchronize()
    return table


def rotary_table(
    height: int, width: int, head_dim: int, theta: float, device: Device, dtype: torch.dtype
) -> Float[Tensor, "N half 2"]:
    """Cosine and sine of `rotary_angles`, in float32 or better, on the device."""
    angles = rotary_angles(height, width, head_dim, theta, device)
    table = torch.stack([angles.cos(), angles.sin()], dim=-1).to(torch.promote_types(dtype, torch.float32))
    return table.to(device)


def rotate(
    x: Float[Tensor, "*rest N d"], table: Float[Tensor, "N half 2"], out: Float[Tensor, "*rest N d"] | None = None
) -> Float[Tensor, "*rest N d"]:
    """Turn each pair of channels (2i, 2i+1) of token t by the angle of table[t, i], in float32 or better.

    A pair is a complex number, and the turn one product: one pass over memory. A compiler fuses the real
    formula as well, and exported graphs have real numbers only. The result is written to `out` where it is
    given, without gradients and in the table's dtype; `out` may be `x`.
    Source: RoFormer, Su et al., 2021, arXiv:2104.09864, equation 34.
    """
    half = x.shape[-1] // 2
    pairs = x.to(table.dtype).unflatten(-1, (half, 2))
    if is_traced(x):
        (a, b), (cos, sin) = pairs.unbind(-1), table.unbind(-1)
        turned = torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)
        return turned.flatten(-2).to(x.dtype)
    if pairs.stride(-1) != 1 or any(step % 2 for step in (pairs.storage_offset(), *pairs.stride()[:-1])):
        pairs = pairs.contiguous()
    place = None if out is None else torch.view_as_complex(out.unflatten(-1, (half, 2)))
    product = torch.mul(torch.view_as_complex(pairs), torch.view_as_complex(table), out=place)
    return torch.view_as_real(product).flatten(-2).to(x.dtype)
