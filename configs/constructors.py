"""What SAM 2's constructors do with a key that is left out, where SAM 2's files, and so the schema, say otherwise.

Source: `SAM2Base`, `MemoryAttention`, `MemoryAttentionLayer`, `Attention` and `RoPEAttention` of SAM 2.
"""

from collections.abc import Mapping
from typing import Any

MODEL_DEFAULTS: Mapping[str, Any] = {
    "image_size": 512,
    "directly_add_no_mem_embed": False,
    "use_obj_ptrs_in_encoder": False,
    "only_obj_ptrs_in_the_past_for_eval": False,
}
ATTENTION_DEFAULTS: Mapping[str, Any] = {"dropout": 0.0}

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "MemoryAttention": ("d_model", "pos_enc_at_input", "layer", "num_layers"),
    "MemoryAttentionLayer": (
        *("activation", "cross_attention", "d_model", "dim_feedforward", "dropout", "pos_enc_at_attn"),
        *("pos_enc_at_cross_attn_keys", "pos_enc_at_cross_attn_queries", "self_attention"),
    ),
    "RoPEAttention": ("embedding_dim", "num_heads"),
}


def check_required(fields: Mapping[str, Any], name: str, where: str) -> None:
    """Raise `ValueError` for a key without which SAM 2's class of that name cannot be constructed."""
    for key in REQUIRED[name]:
        if key not in fields:
            raise ValueError(f"{where}.{key} is missing, and SAM 2's {name} has no default for it")
