"""Step 8: the whole. A stack of layers and a last norm turn a frame's tokens into tokens that remember."""

import copy
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from ..configs.schema import AttentionConfig, MemoryAttentionConfig
from ..rules.contract import check_inputs, unwrap_list
from ..rules.record import Record, under, unrecorded
from .attention import Attention, RoPEAttention
from .calls import options
from .kernels import check_kernel
from .layer import MemoryAttentionLayer
from .norm import LayerNorm
from .tracing import is_autocast
from .ways import frames_at_first

Frame = Float[Tensor, "N _B C"]
Memory = Float[Tensor, "M _B K"]


class MemoryAttention(nn.Module):
    """SAM 2's memory attention, with SAM 2's constructor, parameter names and call.

    `layer` is copied `num_layers` times, or is the sequence of layers itself.
    Source: SAM 2, Ravi et al., 2024, arXiv:2408.00714, section 4.
    """

    def __init__(
        self,
        d_model: int,
        pos_enc_at_input: bool,
        layer: nn.Module | Sequence[nn.Module],
        num_layers: int,
        batch_first: bool = True,
    ) -> None:
        super().__init__()
        is_sequence = isinstance(layer, Sequence | nn.ModuleList)
        copies = list(layer) if is_sequence else [copy.deepcopy(layer) for _ in range(num_layers)]
        if len(copies) != num_layers:
            raise ValueError(f"layer is a sequence of {len(copies)}, expected num_layers, {num_layers}")
        if not copies:
            raise ValueError(f"num_layers is {num_layers}, expected at least 1")
        self.d_model = d_model
        self.pos_enc_at_input = pos_enc_at_input
        self.num_layers = num_layers
        self.batch_first = batch_first
        self.layers = nn.ModuleList(copies)
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
        """Let a frame's tokens `curr` [N,B,C] look at `memory` [M,B,C_m]; returns [N,B,C].

        `curr` [N,1,C], or expanded from it, is a frame that all B objects share: what does not depend on
        them is computed once. The last `num_obj_ptr_tokens` of the memory are object pointers; `grid` is
        the (h, w) of the frame, else guessed as SAM 2 does. With `batch_first` off the arrays are [B,N,C]
        and [B,M,C_m]. Raises `TypeError` or `ValueError` naming the argument that does not fit.
        """
        inputs = (unwrap_list(curr, "curr"), memory, unwrap_list(curr_pos, "curr_pos"), memory_pos)
        check_inputs(
            *inputs,
            num_obj_ptr_tokens,
            self.d_model,
            self.layers[0].cross_attn_image.k_proj.in_features,
            batch_first=not self.batch_first,
            # Autocast brings dtypes together, and SAM 2 relies on it: its memories are bfloat16.
            one_dtype=not is_autocast(self.norm.weight.device),
        )
        x, keys, query_pos, pos = (self._arrange(tokens) for tokens in inputs)
        objects = memory.shape[1 if self.batch_first else 0]
        # In training every object has its own dropout, and attentions of others may not know how to share.
        may_share = not self.training and isinstance(self.layers[0].cross_attn_image, Attention)
        frames = frames_at_first(may_share, objects, x, query_pos)
        x, query_pos = (_taken(tokens, frames) for tokens in (x, query_pos))
        if self.pos_enc_at_input and query_pos is not None:
            x = x + 0.1 * query_pos
        x = record("input", x)
        for index, layer in enumerate(self.layers):
            more = options(
                num_k_exclude_rope=num_obj_ptr_tokens, grid=grid, record=under(record, f"layers.{index}")
            )
            x = layer(tgt=x, memory=keys, pos=pos, query_pos=query_pos, **more)
        x = record("norm", self.norm(x))
        return x.transpose(0, 1) if self.batch_first else x

    def use_kernel(self, kernel: str | None = None, memory_space: bool | None = None) -> "MemoryAttention":
        """Force the kernel, one of `kernels.KERNELS`, or the values' space in every attention; none: `choice.py`.

        `memory_space` says whether values stay in memory space (true) or are projected for every head
        (false). Both hold at inference only. Raises `ValueError` for a kernel of another name.
        """
        check_kernel(kernel)
        for part in self.modules():
            if isinstance(part, Attention):
                part.kernel, part.memory_space = kernel, memory_space
        return self

    def _arrange(self, tokens: Tensor | None) -> Tensor | None:
        """Tokens as the layers take them: batch-first."""
        return tokens.transpose(0, 1) if self.batch_first and tokens is not None else tokens


def _taken(tokens: Float[Tensor, "#B N C"] | None, frames: int) -> Float[Tensor, "_F N C"] | None:
    """The first `frames` of them, or that many of the one that there is."""
    return tokens if tokens is None else tokens[:frames].expand(frames, -1, -1)


def _attention(config: AttentionConfig) -> Attention:
    return (RoPEAttention if config.rotary else Attention)(**config.arguments())
