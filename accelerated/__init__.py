"""The twins of `reference`, in PyTorch: `nn.Module`s with SAM 2's names, fast on CPU and GPU."""

from ..rules.packages import require

require("torch", "the accelerated backend")

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
