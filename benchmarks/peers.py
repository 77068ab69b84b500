"""The networks of others that ours are compared with, with our weights: of `transformers`, and SAM 2's own."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..checkpoints.names import WORDS
from ..configs import Config
from ..configs.schema import AttentionConfig
from ..weights import PREFIX

NAMES_OF_PEER = {ours: theirs for theirs, ours in WORDS.items()}


def check_expressible(config: Config) -> None:
    """Raise `ValueError` for a network that the memory attention of `transformers` cannot express."""
    network, layer = config.memory_attention, config.memory_attention.layer
    own, cross = layer.self_attention, layer.cross_attention
    fixed = {
        "pos_enc_at_input": network.pos_enc_at_input,
        "batch_first": network.batch_first,
        "pos_enc_at_attn": not layer.pos_enc_at_attn,
        "pos_enc_at_cross_attn_keys": layer.pos_enc_at_cross_attn_keys,
        "pos_enc_at_cross_attn_queries": not layer.pos_enc_at_cross_attn_queries,
        "activation": layer.activation in ("relu", "gelu"),
        "rotary attention": own.rotary and cross.rotary,
        "num_heads": own.num_heads == cross.num_heads,
        "downsample_rate": own.downsample_rate == cross.downsample_rate,
        "rope_theta": own.rope_theta == cross.rope_theta == 10000.0,
    }
    for setting, fits in fixed.items():
        if not fits:
            raise ValueError(f"transformers' memory attention knows no other {setting} than SAM 2's")


def build_peer(
    config: Config, weights: Mapping[str, np.ndarray], grid: tuple[int, int], kernel: str = "sdpa"
) -> Any:
    """`transformers`' memory attention with our weights, for frames of a grid; `kernel` is "sdpa" or "eager".

    Raises `ValueError` for a network that it cannot express.
    """
    import torch
    from transformers import Sam2VideoConfig
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoMemoryAttention

    check_expressible(config)
    network, layer = config.memory_attention, config.memory_attention.layer
    height, width = grid
    theirs = Sam2VideoConfig(
        memory_attention_hidden_size=network.d_model,
        memory_attention_num_layers=network.num_layers,
        memory_attention_num_attention_heads=layer.self_attention.num_heads,
        memory_attention_downsample_rate=layer.self_attention.downsample_rate,
        memory_attention_feed_forward_hidden_size=layer.dim_feedforward,
        memory_attention_feed_forward_hidden_act=layer.activation,
        memory_attention_rope_feat_sizes=[width, height],
        memory_encoder_output_channels=network.memory_dim,
    )
    theirs._attn_implementation = kernel
    module = Sam2VideoMemoryAttention(theirs).eval()
    state = {}
    for name, weight in weights.items():
        if name.startswith(PREFIX):
            parts = [NAMES_OF_PEER.get(part, part) for part in name.removeprefix(PREFIX).split(".")]
            state[".".join(parts)] = torch.from_numpy(weight.copy())
    module.load_state_dict(state)
    return module


def accelerated_peer(module: Any) -> Any:
    """The memory attention of `transformers` after `accelerate`, in a model that holds it as theirs does."""
    from torch import nn

    from ..integrations import accelerate

    model = nn.Module()
    model.memory_attention = module
    return accelerate(model).memory_attention


def call_of_peer(module: Any) -> Callable[..., Any]:
    """Our call of the memory attention of `transformers`, as its own video model calls it."""

    def attention(
        curr: Any, memory: Any, curr_pos: Any, memory_pos: Any, num_obj_ptr_tokens: int, grid: Any
    ) -> Any:
        del grid  # It is in the module's config.
        objects = memory.shape[1]
        result = module(
            current_vision_features=curr.expand(-1, objects, -1),
            current_vision_position_embeddings=curr_pos.expand(-1, objects, -1),
            memory=memory,
            memory_posision_embeddings=memory_pos,
            num_object_pointer_tokens=num_obj_ptr_tokens,
        )
        # It returns [1,B,N,C].
        return result[0].transpose(0, 1)

    return attention


def build_sam2(config: Config, weights: Mapping[str, np.ndarray], grid: tuple[int, int]) -> Any:
    """SAM 2's own memory attention with our weights, from its package; it knows no grid but squares."""
    import torch
    from sam2.modeling import memory_attention as theirs
    from sam2.modeling.sam.transformer import Attention, RoPEAttention

    height, width = grid

    def attention(part: AttentionConfig) -> Any:
        if not part.rotary:
            return Attention(**part.arguments())
        return RoPEAttention(**(part.arguments() | {"feat_sizes": (width, height)}))

    network = config.memory_attention
    layer = network.layer.model_dump(exclude={"self_attention", "cross_attention"})
    parts = {name: attention(getattr(network.layer, name)) for name in ("self_attention", "cross_attention")}
    module = theirs.MemoryAttention(
        network.d_model,
        network.pos_enc_at_input,
        theirs.MemoryAttentionLayer(**layer, **parts),
        network.num_layers,
        network.batch_first,
    )
    own = {name.removeprefix(PREFIX): weight for name, weight in weights.items() if name.startswith(PREFIX)}
    module.load_state_dict({name: torch.from_numpy(weight.copy()) for name, weight in own.items()})
    return module.eval()


def call_of_sam2(module: Any) -> Callable[..., Any]:
    """Our call of SAM 2's own memory attention."""

    def attention(
        curr: Any, memory: Any, curr_pos: Any, memory_pos: Any, num_obj_ptr_tokens: int, grid: Any
    ) -> Any:
        del grid  # It takes none, and finds a square.
        objects = memory.shape[1]
        return module(
            curr.expand(-1, objects, -1),
            memory,
            curr_pos.expand(-1, objects, -1),
            memory_pos,
            num_obj_ptr_tokens,
        )

    return attention
