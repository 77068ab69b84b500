"""Step 8: the whole. A stack of layers and a last norm turn a frame's tokens into tokens that remember."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from ..configs.schema import AttentionConfig, MemoryAttentionConfig
from ..rules.contract import check_inputs, unwrap_list
from ..rules.record import Record, under, unrecorded
from .attention import Attention, RoPEAttention
from .layer import MemoryAttentionLayer
from .module import Module
from .norm import LayerNorm

Frame = Float[np.ndarray, "N _B C"]
Memory = Float[np.ndarray, "M _B K"]


class MemoryAttention(Module):
    """SAM 2's memory attention, with SAM 2's constructor, parameter names and call.

    `layer` is copied `num_layers` times, or is the sequence of layers itself.
    Source: SAM 2, Ravi et al., 2024, arXiv:2408.00714, section 4.
    """

    def __init__(
        self,
        d_model: int,
        pos_enc_at_input: bool,
        layer: MemoryAttentionLayer | Sequence[MemoryAttentionLayer],
        num_layers: int,
        batch_first: bool = True,
    ) -> None:
        copies = layer if isinstance(layer, Sequence) else [copy.deepcopy(layer) for _ in range(num_layers)]
        if len(copies) != num_layers:
            raise ValueError(f"layer is a sequence of {len(copies)}, expected num_layers, {num_layers}")
        if not copies:
            raise ValueError(f"num_layers is {num_layers}, expected at least 1")
        self.d_model = d_model
        self.pos_enc_at_input = pos_enc_at_input
        self.batch_first = batch_first
        self.layers = list(copies)
        self.norm = LayerNorm(d_model)

    @classmethod
    def from_config(cls, config: MemoryAttentionConfig) -> "MemoryAttention":
        """Build the network that a config describes."""
        layer = config.layer.model_dump(exclude={"self_attention", "cross_attention"})
        return cls(
            config.d_model,
            config.pos_enc_at_input,
            MemoryAttentionLayer(
                **layer,
                self_attention=_attention(config.layer.self_attention),
                cross_attention=_attention(config.layer.cross_attention),
            ),
            config.num_layers,
            config.batch_first,
        )

    def forward(
        self,
        curr: Frame | list[Frame],
        memory: Memory,
        curr_pos: Frame | list[Frame] | None = None,
        memory_pos: Memory | None = None,
        num_obj_ptr_tokens: int = 0,
        grid: tuple[int, int] | None = None,
        record: Record = unrecorded,
    ) -> Frame:
        """Let a frame's tokens `curr` [N,B,C] look at `memory` [M,B,C_m]; returns [N,B,C], dtype as `curr`.

        `curr` [N,1,C] is a frame that all B objects share: what does not depend on them is computed once.
        The last `num_obj_ptr_tokens` of the memory are object pointers; `grid` is the (h, w) of the frame,
        else guessed as SAM 2 does: `feat_sizes` if it has N tokens, else a square. `batch_first`, set in every
        model, says how the *layers* have it, so these arrays, which have tokens first, are swapped on the way in
        and out. With it off nothing is swapped, and the arrays are [B,N,C] and [B,M,C_m].
        Raises `TypeError` or `ValueError` naming the argument that does not fit.
        """
        inputs = (unwrap_list(curr, "curr"), memory, unwrap_list(curr_pos, "curr_pos"), memory_pos)
        memory_dim = self.layers[0].cross_attn_image.k_proj.weight.shape[1]
        check_inputs(*inputs, num_obj_ptr_tokens, self.d_model, memory_dim, batch_first=not self.batch_first)
        # float16 has eleven bits: it is taken and given, but not computed in.
        dtype = inputs[0].dtype
        x, keys, query_pos, pos = (self._arrange(tokens, dtype) for tokens in inputs)
        if self.pos_enc_at_input and query_pos is not None:
            x = x + 0.1 * query_pos
        x = record("input", x)
        for index, layer in enumerate(self.layers):
            x = layer(x, keys, pos, query_pos, num_obj_ptr_tokens, grid, under(record, f"layers.{index}"))
        x = record("norm", self.norm(x)).astype(dtype)
        return x.swapaxes(0, 1) if self.batch_first else x

    def _arrange(self, tokens: Any, dtype: np.dtype) -> Any:
        """Tokens as the layers take them: batch-first, in float32 or better."""
        if tokens is None:
            return None
        tokens = tokens.astype(np.promote_types(dtype, np.float32))
        return tokens.swapaxes(0, 1) if self.batch_first else tokens


def _attention(config: AttentionConfig) -> Attention:
    return (RoPEAttention if config.rotary else Attention)(**config.arguments())
