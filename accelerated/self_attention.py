"""Step 4: the tokens of the current frame look at each other."""

from jaxtyping import Float
from torch import Tensor, nn

from ..rules.contract import require_position
from ..rules.record import Record, under, unrecorded
from .calls import options
from .norm import LayerNorm


def self_attention(
    x: Float[Tensor, "B N C"],
    query_pos: Float[Tensor, "#B N C"] | None,
    norm: LayerNorm,
    attention: nn.Module,
    dropout: nn.Module,
    pos_enc_at_attn: bool,
    grid: tuple[int, int] | None = None,
    record: Record = unrecorded,
) -> Float[Tensor, "B N C"]:
    """x + dropout(attention(q, k, v)) with y = norm(x), q = k = y (+ query_pos), v = y.

    Source: SAM 2, Ravi et al., 2024, arXiv:2408.00714, section 4.
    """
    y = record("norm1", norm(x))
    q = k = y + require_position(query_pos, "curr_pos", "pos_enc_at_attn") if pos_enc_at_attn else y
    attended = attention(q, k, y, **options(grid=grid, record=under(record, "self_attn")))
    return record("self_attention", x + dropout(attended))
