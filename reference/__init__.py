"""SAM 2's memory attention in NumPy: one step a file, from `norm` to `memory_bank`, and all of it in `pico`."""

from .attention import Attention, RoPEAttention
from .layer import MemoryAttentionLayer
from .many_objects import attend_together
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
    "attend_together",
]
