"""Step 7: one layer is self-attention, cross-attention and feed-forward, in this order."""

import numpy as np
from jaxtyping import Float

from ..rules.record import Record, unrecorded
from .attention import Attention
from .cross_attention import cross_attention
from .feed_forward import ACTIVATIONS, feed_forward
from .module import Linear, Module
from .norm import LayerNorm
from .self_attention import self_attention


class MemoryAttentionLayer(Module):
    """One of the layers of SAM 2's memory attention, with SAM 2's constructor and parameter names.

    Source: SAM 2, Ravi et al., 2024, arXiv:2408.00714, section 4 and figure 3.
    """

    def __init__(
        self,
        activation: str,
        cross_attention: Attention,
        d_model: int,
        dim_feedforward: int,
        dropout: float,
        pos_enc_at_attn: bool,
        pos_enc_at_cross_attn_keys: bool,
        pos_enc_at_cross_attn_queries: bool,
        self_attention: Attention,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation is {activation!r}, expected one of {', '.join(ACTIVATIONS)}")
        self.d_model = d_model
        self.dropout = dropout
        self.activation = ACTIVATIONS[activation]
        self.pos_enc_at_attn = pos_enc_at_attn
        self.pos_enc_at_cross_attn_keys = pos_enc_at_cross_attn_keys
        self.pos_enc_at_cross_attn_queries = pos_enc_at_cross_attn_queries
        self.self_attn = self_attention
        self.cross_attn_image = cross_attention
        self.linear1 = Linear(d_model, dim_feedforward)
        self.linear2 = Linear(dim_feedforward // 2 if activation == "glu" else dim_feedforward, d_model)
        self.norm1, self.norm2, self.norm3 = LayerNorm(d_model), LayerNorm(d_model), LayerNorm(d_model)

    def _forward_sa(
        self,
        tgt: Float[np.ndarray, "B N C"],
        query_pos: Float[np.ndarray, "#B N C"] | None,
        grid: tuple[int, int] | None = None,
        record: Record = unrecorded,
    ) -> Float[np.ndarray, "B N C"]:
        return self_attention(tgt, query_pos, self.norm1, self.self_attn, self.pos_enc_at_attn, grid, record)

    def _forward_ca(
        self,
        tgt: Float[np.ndarray, "#B N C"],
        memory: Float[np.ndarray, "B M K"],
        query_pos: Float[np.ndarray, "#B N C"] | None,
        pos: Float[np.ndarray, "B M K"] | None,
        num_k_exclude_rope: int = 0,
        grid: tuple[int, int] | None = None,
        record: Record = unrecorded,
    ) -> Float[np.ndarray, "B N C"]:
        return cross_attention(
            tgt,
            memory,
            query_pos,
            pos,
            self.norm2,
            self.cross_attn_image,
            self.pos_enc_at_cross_attn_queries,
            self.pos_enc_at_cross_attn_keys,
            num_k_exclude_rope,
            grid,
            record,
        )

    def forward(
        self,
        tgt: Float[np.ndarray, "#B N C"],
        memory: Float[np.ndarray, "B M K"],
        pos: Float[np.ndarray, "B M K"] | None = None,
        query_pos: Float[np.ndarray, "#B N C"] | None = None,
        num_k_exclude_rope: int = 0,
        grid: tuple[int, int] | None = None,
        record: Record = unrecorded,
    ) -> Float[np.ndarray, "B N C"]:
        """Apply the three residual blocks to the current frame's tokens `tgt`."""
        tgt = self._forward_sa(tgt, query_pos, grid, record)
        tgt = self._forward_ca(tgt, memory, query_pos, pos, num_k_exclude_rope, grid, record)
        return feed_forward(tgt, self.norm3, self.linear1, self.activation, self.linear2, record)
