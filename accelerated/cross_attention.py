"""Step 5: the tokens of the current frame look at the memories and object pointers."""

from jaxtyping import Float
from torch import Tensor, nn

from ..rules.contract import require_position
from ..rules.record import Record, under, unrecorded
from .calls import options
from .norm import LayerNorm


def cross_attention(
    x: Float[Tensor, "#B N C"],
    memory: Float[Tensor, "B M K"],
    query_pos: Float[Tensor, "#B N C"] | None,
    memory_pos: Float[Tensor, "B M K"] | None,
    norm: LayerNorm,
    attention: nn.Module,
    dropout: nn.Module,
    pos_enc_at_queries: bool,
    pos_enc_at_keys: bool,
    num_k_exclude_rope: int = 0,
    grid: tuple[int, int] | None = None,
    record: Record = unrecorded,
) -> Float[Tensor, "B N C"]:
    """x + dropout(attention(q, k, v)) with q = norm(x) (+ query_pos), k = memory (+ memory_pos), v = memory.

    The last `num_k_exclude_rope` memory tokens are object pointers, which are not rotated.
    Source: SAM 2, Ravi et al., 2024, arXiv:2408.00714, section 4, "memory attention".
    """
    q = record("norm2", norm(x))
    k = memory
    if pos_enc_at_queries:
        q = q + require_position(query_pos, "curr_pos", "pos_enc_at_cross_attn_queries")
    if pos_enc_at_keys:
        k = k + require_position(memory_pos, "memory_pos", "pos_enc_at_cross_attn_keys")
    more = options(num_k_exclude_rope=num_k_exclude_rope, grid=grid, record=under(record, "cross_attn_image"))
    return record("cross_attention", x + dropout(attention(q, k, memory, **more)))
