"""The twins of `reference`, in PyTorch: `nn.Module`s with SAM 2's names, fast on CPU and GPU."""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:  # pragma: no cover
    raise ModuleNotFoundError(
        "the accelerated backend needs PyTorch: pip install 'memory-attention[accelerated]'"
    ) from error

from .attention import Attention, RoPEAttention
from .layer import MemoryAttentionLayer
from .memory_attention import MemoryAttention
from .memory_bank import MemoryBank, MemoryTokens
from .norm import LayerNorm

__all__ = [
    "Attention",
    "LayerNorm",
    "MemoryAttention",
    "MemoryAttentionLayer",
    "MemoryBank",
    "MemoryTokens",
    "RoPEAttention",
]
