"""SAM 2's memory attention in NumPy, one step a file, to be read from `norm` to `memory_bank`."""

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
