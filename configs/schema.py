"""What a config may say, with SAM 2's names and default values (Ravi et al., 2024, arXiv:2408.00714)."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{value} is a flag, expected a number")
    return value


Number = BeforeValidator(_no_flag)
Positive = Annotated[int, Number, Field(gt=0)]
Width = Annotated[int, Number, Field(gt=0, le=65_536)]
Probability = Annotated[float, Number, Field(ge=0, lt=1)]

SAM2_DIM = 256
SAM2_MEMORY_DIM = 64


class Node(BaseModel):
    """A config node: immutable, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class AttentionConfig(Node):
    """The constructor arguments of `Attention` and, where `rotary`, of `RoPEAttention`."""

    rotary: bool = True
    embedding_dim: Width = SAM2_DIM
    num_heads: Positive = 1
    downsample_rate: Positive = 1
    dropout: Probability = 0.1
    kv_in_dim: Width | None = None
    rope_theta: Annotated[float, Number, Field(gt=0)] = 10000.0
    rope_k_repeat: bool = False
    feat_sizes: tuple[Width, Width] = (64, 64)

    def arguments(self) -> dict[str, Any]:
        """What the constructor of `RoPEAttention`, or without `rotary` of `Attention`, is called with."""
        rotary_only = set() if self.rotary else {"rope_theta", "rope_k_repeat", "feat_sizes"}
        return self.model_dump(exclude={"rotary", *rotary_only})

    @property
    def internal_dim(self) -> int:
        """Channels of the query, key and value, all heads together."""
        return self.embedding_dim // self.downsample_rate

    @property
    def head_dim(self) -> int:
        """Channels of one head."""
        return self.internal_dim // self.num_heads

    @property
    def key_dim(self) -> int:
        """Channels of the tokens that become keys and values."""
        return self.kv_in_dim or self.embedding_dim

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_head_widths(self.embedding_dim, self.num_heads, self.downsample_rate, self.rotary)
        return self


def check_head_widths(embedding_dim: int, num_heads: int, downsample_rate: int, rotary: bool) -> None:
    """Raise `ValueError` unless the channels split evenly into heads, and rotary heads into quadruples."""
    widths = {"embedding_dim": embedding_dim, "num_heads": num_heads, "downsample_rate": downsample_rate}
    for name, width in widths.items():
        if width < 1:
            raise ValueError(f"{name} is {width}, expected at least 1")
    if embedding_dim % downsample_rate:
        raise ValueError(f"embedding_dim {embedding_dim} is not divisible by downsample_rate {downsample_rate}")
    internal_dim = embedding_dim // downsample_rate
    if internal_dim % num_heads:
        raise ValueError(f"num_heads {num_heads} does not divide the {internal_dim} channels of the heads")
    head_dim = internal_dim // num_heads
    if rotary and head_dim % 4:
        raise ValueError(f"head dim {head_dim} is not divisible by 4, as the axial rotary encoding needs")


class LayerConfig(Node):
    """The constructor arguments of `MemoryAttentionLayer`."""

    d_model: Width = SAM2_DIM
    activation: Literal["relu", "gelu", "glu"] = "relu"
    dim_feedforward: Width = 2048
    dropout: Probability = 0.1
    pos_enc_at_attn: bool = False
    pos_enc_at_cross_attn_keys: bool = True
    pos_enc_at_cross_attn_queries: bool = False
    self_attention: AttentionConfig = AttentionConfig()
    cross_attention: AttentionConfig = AttentionConfig(kv_in_dim=SAM2_MEMORY_DIM, rope_k_repeat=True)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("self_attention", "cross_attention"):
            width = getattr(self, name).embedding_dim
            if width != self.d_model:
                raise ValueError(f"{name}.embedding_dim is {width}, expected d_model, {self.d_model}")
        if self.self_attention.key_dim != self.d_model:
            raise ValueError(
                f"self_attention.kv_in_dim is {self.self_attention.key_dim}, expected d_model, {self.d_model}"
            )
        if self.activation == "glu" and self.dim_feedforward % 2:
            raise ValueError(
                f"dim_feedforward is {self.dim_feedforward}, expected an even number for activation glu"
            )
        return self


class MemoryAttentionConfig(Node):
    """The constructor arguments of `MemoryAttention`."""

    d_model: Width = SAM2_DIM
    pos_enc_at_input: bool = True
    layer: LayerConfig = LayerConfig()
    num_layers: Annotated[int, Number, Field(gt=0, le=256)] = 4
    batch_first: bool = True

    @property
    def memory_dim(self) -> int:
        """C_m, the channels of a memory token."""
        return self.layer.cross_attention.key_dim

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.layer.d_model != self.d_model:
            raise ValueError(f"layer.d_model is {self.layer.d_model}, expected d_model, {self.d_model}")
        return self


class MemoryBankConfig(Node):
    """Which memories a frame sees and how they become tokens: the settings of SAM 2's own loop, and of SAM 3's.

    SAM 3's are `keep_first_cond_frame`, `use_memory_selection` and `mf_threshold`: see `rules/frame_choice.py`.
    """

    num_maskmem: Annotated[int, Number, Field(ge=0, le=65_536)] = 7
    max_cond_frames_in_attn: Annotated[int, Number] = -1
    keep_first_cond_frame: bool = False
    memory_temporal_stride_for_eval: Positive = 1
    directly_add_no_mem_embed: bool = True
    use_obj_ptrs_in_encoder: bool = True
    max_obj_ptrs_in_encoder: Positive = 16
    only_obj_ptrs_in_the_past_for_eval: bool = True
    add_tpos_enc_to_obj_ptrs: bool = True
    proj_tpos_enc_in_obj_ptrs: bool = False
    use_signed_tpos_enc_to_obj_ptrs: bool = False
    no_obj_embed_spatial: bool = False
    use_memory_selection: bool = False
    mf_threshold: float = 0.01

    @model_validator(mode="after")
    def _check(self) -> Self:
        # The first frame, the nearest before and the nearest after may be three.
        least, reason = (3, " with keep_first_cond_frame") if self.keep_first_cond_frame else (2, "")
        limit = self.max_cond_frames_in_attn
        if limit != -1 and limit < least:
            raise ValueError(f"max_cond_frames_in_attn is {limit}, expected -1 or at least {least}{reason}")
        if self.use_memory_selection and self.max_obj_ptrs_in_encoder < 2:
            raise ValueError(
                f"max_obj_ptrs_in_encoder is {self.max_obj_ptrs_in_encoder}, expected at least 2 with "
                "use_memory_selection, which selects one frame less"
            )
        return self


class Config(Node):
    """A whole model: its name, its memory attention, its memory bank and the image it was made for."""

    name: str = "unnamed"
    memory_attention: MemoryAttentionConfig = MemoryAttentionConfig()
    memory_bank: MemoryBankConfig = MemoryBankConfig()
    image_size: Width = 1024
    backbone_stride: Width = 16

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the current frame's tokens, from the image size.

        Square `feat_sizes` of another image size are no contradiction: SAM 2's own files have them, and its
        rotary encoding follows the tokens. Raises `ValueError` for `feat_sizes` that are no square.
        """
        side = self.image_size // self.backbone_stride
        layer = self.memory_attention.layer
        for attention in (layer.self_attention, layer.cross_attention):
            width, height = attention.feat_sizes
            if attention.rotary and width != height:
                raise ValueError(
                    f"image_size {self.image_size} with backbone_stride {self.backbone_stride} is a grid of "
                    f"{side} × {side}, but feat_sizes (width, height) is {attention.feat_sizes}"
                )
        return side, side

    @property
    def num_pointer_tokens(self) -> int:
        """Tokens into which one object pointer splits: C / C_m."""
        return self.memory_attention.d_model // self.memory_attention.memory_dim

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.image_size % self.backbone_stride:
            raise ValueError(
                f"image_size {self.image_size} is not divisible by backbone_stride {self.backbone_stride}"
            )
        d_model, memory_dim = self.memory_attention.d_model, self.memory_attention.memory_dim
        if self.memory_bank.use_obj_ptrs_in_encoder and d_model % memory_dim:
            raise ValueError(
                f"kv_in_dim {memory_dim} does not divide d_model {d_model}, so an object pointer "
                "cannot be split into memory tokens; set use_obj_ptrs_in_encoder: false"
            )
        return self

    def with_changes(self, **changes: Any) -> Self:
        """A copy in which the given fields differ, checked like a new one."""
        return type(self)(**{**dict(self), **changes})
