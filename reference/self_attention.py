"""Step 4: the tokens of the current frame look at each other."""

import numpy as np
from jaxtyping import Float

from ..rules.contract import require_position
from ..rules.record import Record, under, unrecorded
from .attention import Attention
from .norm import LayerNorm


def self_attention(
    x: Float[np.ndarray, "B N C"],
    query_pos: Float[np.ndarray, "#B N C"] | None,
    norm: LayerNorm,
    attention: Attention,
    pos_enc_at_attn: bool,
    grid: tuple[int, int] | None = None,
    record: Record = unrecorded,
) -> Float[np.ndarray, "B N C"]:
    """x + attention(q, k, v) with y = norm(x), q = k = y (+ query_pos), v = y.

    Source: SAM 2, Ravi et al., 2024, arXiv:2408.00714, section 4; pre-norm residual blocks, Xiong et
    al., 2020, arXiv:2002.04745.
    """
    y = record("norm1", norm(x))
    q = k = y + require_position(query_pos, "curr_pos", "pos_enc_at_attn") if pos_enc_at_attn else y
    attended = attention(q, k, y, grid=grid, record=under(record, "self_attn"))
    return record("self_attention", x + attended)
