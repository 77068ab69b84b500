"""The kernels that compute softmax(q kᵀ / √d) v, by name."""

import functools
import importlib.util
import math
import threading
from collections.abc import Callable
from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from . import axial
from .position import Places
from .tiles import tiled_attention
from .tracing import fused_choice, is_traced

Kernel = Callable[..., Tensor]

BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}

_switching = threading.Lock()
"""`sdpa_kernel` sets flags of the whole process, and two at a time would restore each other's."""

KERNELS = ("pytorch", *BACKENDS, "tiled", "axial", "flex", "textbook")
"""`pytorch` lets PyTorch pick among its four (flash to math); `tiled` and `axial` are ours.

`tiled` is for CPUs. `axial` takes queries in memory space, where values are, on GPUs in Triton; keys that are
projected go to `tiled`, on GPUs to PyTorch's pick.
"""


def scaled_dot_product_attention(
    query: Float[Tensor, "#B H N d"],
    key: Float[Tensor, "B H M d"],
    value: Float[Tensor, "B H M c"],
    dropout: float = 0.0,
    kernel: str = "pytorch",
    forced: bool = True,
) -> Float[Tensor, "B H N c"]:
    """softmax(q kᵀ / √d) v by one of `KERNELS`; `dropout` acts on the weights.

    Raises `ValueError` for a kernel that cannot do this problem on this machine; one of PyTorch's that is not
    `forced`, but was chosen by a trial at about this size, gives way to another.
    Source: Vaswani et al., 2017, arXiv:1706.03762, equation 1; FlashAttention, Dao et al., 2022,
    arXiv:2205.14135.
    """
    query = query.expand(key.shape[0], -1, -1, -1)
    if kernel == "pytorch":
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    if not forced and kernel in (*BACKENDS, "flex"):
        try:
            return scaled_dot_product_attention(query, key, value, dropout, kernel)
        except (ValueError, RuntimeError):
            return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    if dropout and kernel not in BACKENDS:
        raise ValueError(f"kernel is {kernel!r}, which knows no dropout")
    if kernel in ("tiled", "axial"):
        _check_ours(kernel, query, key, value)
        return (F.scaled_dot_product_attention if query.is_cuda else tiled_attention)(query, key, value)
    if kernel == "textbook":
        return textbook_attention(query, key, value)
    if kernel == "flex":
        return _compiled_flex()(query, key, value)
    try:
        with nullcontext() if is_traced(query) else _switching, sdpa_kernel(BACKENDS[kernel]):
            return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    except RuntimeError as error:
        if not any(said in str(error) for said in ("No available kernel", "No viable backend")):
            raise
        raise ValueError(
            f"kernel is {kernel!r}, which PyTorch does not have for {query.dtype} on {query.device.type} "
            f"with keys {key.shape[-1]} and values {value.shape[-1]} wide"
        ) from None


def textbook_attention(
    query: Float[Tensor, "#B H N d"], key: Float[Tensor, "B H M d"], value: Float[Tensor, "B H M c"]
) -> Float[Tensor, "B H N c"]:
    """softmax(q kᵀ / √d) v as it is written, with all N × M logits: the plain formula to compare with."""
    logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return softmax(logits).to(value.dtype) @ value


def softmax(logits: Float[Tensor, "*rest M"]) -> Float[Tensor, "*rest M"]:
    """exp(logits) / Σ exp(logits) over the last axis, in float32 or better."""
    working = torch.promote_types(logits.dtype, torch.float32)
    return logits.softmax(dim=-1, dtype=working)


def check_kernel(kernel: str | None) -> None:
    """Raise `ValueError` for a name that is none of `KERNELS`; none leaves the choice open."""
    if kernel is not None and kernel not in KERNELS:
        raise ValueError(f"kernel is {kernel!r}, expected one of {', '.join(KERNELS)}")


def pytorchs_pick(query: Tensor, key: Tensor, value: Tensor) -> str:
    """Which of its kernels PyTorch would take: by widths, dtype and device, so the tensors may be small."""
    pick = fused_choice()
    return "own choice" if pick is None else SDPBackend(pick(query, key, value)).name.lower()


def axial_attention(
    query: Float[Tensor, "#B H N d"],
    key_memory: Float[Tensor, "B M K"],
    value_memory: Float[Tensor, "B M K"],
    weight: Float[Tensor, "C K"],
    bias: Float[Tensor, " C"],
    places: Places | None,
) -> Float[Tensor, "B H N K"]:
    """The means of memories with queries in memory space, by the kernel of the device: see `axial.py`."""
    if not query.is_cuda:
        return axial.axial_attention(query, key_memory, value_memory, weight, bias, places)
    # Triton is there on some machines only.
    from .axial_triton import axial_attention as axial_on_gpu

    return axial_on_gpu(query, key_memory, value_memory, weight, bias, places)


def takes_axial(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether there is a kernel for queries in memory space: where tiles are, and on GPUs with Triton."""
    if device.type == "cuda":
        return dtype in (torch.float32, torch.float16, torch.bfloat16) and _has_triton()
    return takes_tiles(dtype, device)


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def takes_tiles(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the tiled kernel takes such numbers: float32 and float64 on the CPU."""
    return device.type == "cpu" and dtype in (torch.float32, torch.float64)


def _check_ours(kernel: str, query: Tensor, key: Tensor, value: Tensor) -> None:
    """Raise `ValueError` where one of our kernels would be wrong, or is not there."""
    takes = takes_tiles if kernel == "tiled" else takes_axial
    if not takes(query.dtype, query.device):
        on_gpu = ", and float32 and halves on a GPU with Triton" if kernel == "axial" else ""
        raise ValueError(
            f"kernel is {kernel!r}, which takes float32 and float64 on the CPU{on_gpu}, "
            f"but this is {query.dtype} on {query.device.type}"
        )
    if is_traced(query):
        raise ValueError(
            f"kernel is {kernel!r}, which no compiler or tracer sees: leave the choice open to compile"
        )
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (query, key, value)):
        raise ValueError(f"kernel is {kernel!r}, which gives no gradients: use torch.no_grad, or another kernel")


@functools.cache
def _compiled_flex() -> Kernel:
    from torch.nn.attention.flex_attention import flex_attention

    # One for all sizes: a video's first frames each have another.
    return torch.compile(flex_attention, dynamic=True)
