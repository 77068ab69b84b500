"""Hugging Face's `transformers`: its memory attention with our computation, under its own names and call."""

from typing import Any, ClassVar

import torch
import transformers
from jaxtyping import Float
from torch import Tensor, nn
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoMemoryAttention
from transformers.models.sam3_tracker_video.modeling_sam3_tracker_video import Sam3TrackerVideoMemoryAttention

from ..accelerated import MemoryAttention, MemoryAttentionLayer, RoPEAttention
from ..configs.schema import check_head_widths
from ..tolerances import EPSILON
from .checks import check_width
from .norms import norms
from .twins import Part, twin_of

MEMORY_DIM = 64
"""The host has no setting for it."""

KERNELS = ("eager", "sdpa", "flex_attention")
"""The host's names for the same softmax; flash attention has many."""


def called(theirs: str) -> Any:
    """What the host has under another name."""
    return property(lambda module: getattr(module, theirs))


class HostedAttention(RoPEAttention):
    """Our attention under the host's names."""

    num_heads = called("num_attention_heads")
    out_proj = called("o_proj")


class HostedLayer(MemoryAttentionLayer):
    """Our layer under the host's names."""

    pos_enc_at_attn = False
    pos_enc_at_cross_attn_keys = True
    pos_enc_at_cross_attn_queries = False
    norm1, norm2, norm3 = (called(f"layer_norm{number}") for number in (1, 2, 3))


class HostedMemoryAttention(MemoryAttention):
    """Our memory attention under the host's names and with its call."""

    host: ClassVar[type[nn.Module]]
    grid: tuple[int, int]
    pos_enc_at_input = True
    batch_first = True
    norm = called("layer_norm")

    def __init__(self, config: Any) -> None:
        """Build the host's, and be its twin: so the host's patch mapping calls it."""
        original = self.host(config)
        self.__dict__.update(vars(twin_of(original, plan(original))))

    def forward(  # type: ignore[override]
        self,
        current_vision_features: Float[Tensor, "N _B C"],
        memory: Float[Tensor, "M _B K"],
        current_vision_position_embeddings: Float[Tensor, "N _B C"] | None = None,
        # The host misspells it.
        memory_posision_embeddings: Float[Tensor, "M _B K"] | None = None,
        num_object_pointer_tokens: int = 0,
    ) -> Float[Tensor, "1 _B N C"]:
        """`MemoryAttention.forward`, called as the host calls its own; returns [1,B,N,C] as that does."""
        result = super().forward(
            current_vision_features,
            memory,
            current_vision_position_embeddings,
            memory_posision_embeddings,
            num_object_pointer_tokens,
            # The host knows no other, and guesses none.
            self.grid,
        )
        return result.transpose(0, 1)[None]


class AcceleratedSam2VideoMemoryAttention(HostedMemoryAttention, Sam2VideoMemoryAttention):
    """SAM 2's in `transformers`."""

    host = Sam2VideoMemoryAttention


class AcceleratedSam3TrackerVideoMemoryAttention(HostedMemoryAttention, Sam3TrackerVideoMemoryAttention):
    """SAM 3's tracker's in `transformers`."""

    host = Sam3TrackerVideoMemoryAttention


KINDS = {kind.host: kind for kind in HostedMemoryAttention.__subclasses__()}
# The host searches for its patterns, and the layers' names begin as the whole's.
PATTERNS = {f"^{host.__name__}$": kind for host, kind in KINDS.items()}


def register_in_host() -> None:
    """Enter our classes in the host's patch mapping."""
    _patching().register_patch_mapping(PATTERNS)


def unregister_in_host() -> None:
    """Take our classes out of the host's patch mapping."""
    _patching().unregister_patch_mapping(list(PATTERNS))


def _patching() -> Any:
    try:
        from transformers import monkey_patching
    except ImportError:
        raise ValueError(
            f"transformers is {transformers.__version__}, which has no patch mapping yet: "
            "update it, or use accelerate on the built model"
        ) from None
    return monkey_patching


def plan(module: Any) -> dict[nn.Module, Part]:
    """Our class for each part of the host's memory attention.

    Raises `ValueError`, naming the part and the setting, for a class of another name, and for widths, heads,
    rotations and attentions that are not those of the module's config.
    """
    if type(module) not in KINDS:
        expected = ", ".join(host.__name__ for host in KINDS)
        raise ValueError(f"memory_attention is {type(module).__name__}, which is another network than {expected}")
    # In transformers 5.0 only the attentions have it.
    config = module.layers[0].self_attn.config
    _check_attention(config)
    _check_rotation(module, config)
    width, hidden = config.memory_attention_hidden_size, config.memory_attention_feed_forward_hidden_size
    if len(module.layers) != config.memory_attention_num_layers:
        raise ValueError(
            f"memory_attention has {len(module.layers)} layers, expected "
            f"{config.memory_attention_num_layers} by memory_attention_num_layers"
        )
    columns, rows = config.memory_attention_rope_feat_sizes
    parts = {module: Part(KINDS[type(module)], {"d_model": width, "grid": (rows, columns)})}
    for index, layer in enumerate(module.layers):
        where = f"memory_attention.layers.{index}"
        said_by = "memory_attention_hidden_size and memory_attention_feed_forward_hidden_size"
        check_width(f"{where}.linear1", layer.linear1, width, hidden, said_by)
        check_width(f"{where}.linear2", layer.linear2, hidden, width, said_by)
        parts[layer] = Part(HostedLayer)
        for name, memory in (("self_attn", width), ("cross_attn_image", MEMORY_DIM)):
            attention = getattr(layer, name)
            _check_widths(attention, f"{where}.{name}", memory, config)
            rotation = {"rope_theta": _theta(module, config), "feat_sizes": (columns, rows)}
            parts[attention] = Part(HostedAttention, {"kernel": None, "memory_space": None, **rotation})
    return parts | norms(module)


def _theta(module: Any, config: Any) -> float:
    # Early transformers 5 have a setting of their own, and pass over rope_parameters.
    own = getattr(module.rotary_emb, "memory_attention_rope_theta", None)
    return config.rope_parameters["rope_theta"] if own is None else own


def _internal_dim(config: Any) -> int:
    return config.memory_attention_hidden_size // config.memory_attention_downsample_rate


def _check_attention(config: Any) -> None:
    check_head_widths(
        config.memory_attention_hidden_size,
        config.memory_attention_num_attention_heads,
        config.memory_attention_downsample_rate,
        rotary=True,
    )
    kernel = getattr(config, "_attn_implementation", None) or "eager"
    if kernel not in KERNELS and "flash" not in kernel:
        raise ValueError(f"the model's attention is {kernel!r}, which ours would pass over: set another one first")


def _check_widths(attention: Any, where: str, memory: int, config: Any) -> None:
    width, internal = config.memory_attention_hidden_size, _internal_dim(config)
    heads = config.memory_attention_num_attention_heads
    if attention.num_attention_heads != heads:
        raise ValueError(
            f"{where} has {attention.num_attention_heads} heads, expected {heads} by "
            "memory_attention_num_attention_heads"
        )
    said_by = "memory_attention_hidden_size and memory_attention_downsample_rate"
    check_width(f"{where}.q_proj", attention.q_proj, width, internal, said_by)
    check_width(f"{where}.k_proj", attention.k_proj, memory, internal, said_by)
    check_width(f"{where}.v_proj", attention.v_proj, memory, internal, said_by)
    check_width(f"{where}.o_proj", attention.o_proj, internal, width, said_by)


def _check_rotation(module: Any, config: Any) -> None:
    """The host keeps its rotation in buffers, which may be of another config, or not be there yet."""
    frequencies = getattr(module.rotary_emb, "inv_freq", None)
    if frequencies is not None and not frequencies.is_meta:
        head_dim = _internal_dim(config) // config.memory_attention_num_attention_heads
        exponents = torch.arange(head_dim // 4, dtype=torch.float64) * 4 / head_dim
        wanted, found = _theta(module, config) ** -exponents, frequencies.detach().cpu().double()
        limit = 4 * EPSILON[str(frequencies.dtype).removeprefix("torch.")]
        if found.shape != wanted.shape or ((found - wanted).abs() > limit * wanted).any():
            raise ValueError(
                f"memory_attention.rotary_emb.inv_freq is not of rope_theta {_theta(module, config)} and "
                f"{head_dim} channels a head, as the config says"
            )
    places = getattr(module, "position_ids", None)
    if places is not None and not places.is_meta:
        width, height = config.memory_attention_rope_feat_sizes
        token = torch.arange(width * height)
        wanted = torch.stack([token % width, token // width], dim=-1)
        if not torch.equal(places.cpu().to(wanted.dtype), wanted):
            raise ValueError(
                f"memory_attention.position_ids is not the grid of memory_attention_rope_feat_sizes "
                f"({width}, {height})"
            )
