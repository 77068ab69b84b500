"""What a frame costs: parameters, FLOPs and bytes of every step, counted from the shapes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .configs import Config
from .configs.schema import AttentionConfig, LayerConfig
from .rules.memory_space import memory_space_saves


@dataclass(frozen=True)
class StepCost:
    """One step: its output's shape, its parameters, its FLOPs and the bytes it cannot help moving."""

    step: str
    shape: tuple[int, ...]
    parameters: int
    flops: int
    bytes: int


def step_costs(
    config: Config,
    queries: int,
    memory_tokens: int,
    objects: int = 1,
    itemsize: int = 4,
    fast: bool = False,
    shared: bool = False,
) -> list[StepCost]:
    """The cost of every step of one frame, in order, with the names of `Model.trace`.

    FLOPs are those of the matrix products, a multiplication and an addition counting two. Bytes are the
    inputs read once, the parameters read once and the output written once, of `itemsize` bytes each.
    `fast` counts values in memory space where that saves work: their steps `v` fall away. `shared` counts
    a frame that the objects share.
    """
    network = config.memory_attention
    sizes = _Sizes(objects, queries, memory_tokens, itemsize, fast)
    frame = replace(sizes, objects=1) if shared else sizes
    steps = [frame.elementwise("input", network.d_model, inputs=2)]
    for index in range(network.num_layers):
        steps += [
            replace(cost, step=f"layers.{index}.{cost.step}")
            for cost in _layer(network.layer, sizes, frame if index == 0 else sizes)
        ]
    return [*steps, sizes.norm("norm", network.d_model)]


def needed_flops(config: Config, queries: int, memory_tokens: int, objects: int = 1) -> int:
    """The FLOPs that objects on one frame cannot do without, as far as this project knows."""
    return sum(cost.flops for cost in step_costs(config, queries, memory_tokens, objects, fast=True, shared=True))


def bank_bytes(config: Config, objects: int = 1, itemsize: int = 4, prompted: int = 1) -> int:
    """The most bytes that a memory bank holds of a video of any length, if it forgets after every frame.

    `prompted` is the number of conditioning frames; where the config limits those that are seen, more than
    one above the limit are forgotten too.
    """
    bank, (height, width) = config.memory_bank, config.grid
    limit = bank.max_cond_frames_in_attn
    prompted = prompted if limit == -1 else min(prompted, limit + 1)
    # Besides the prompted ones: those in slots and reach of a frame, the frame itself being stored meanwhile.
    memories = prompted + bank.num_maskmem
    pointers = prompted + bank.max_obj_ptrs_in_encoder
    numbers = memories * height * width * config.memory_attention.memory_dim
    return objects * itemsize * (numbers + pointers * config.memory_attention.d_model)


@dataclass(frozen=True)
class _Sizes:
    objects: int
    queries: int
    memory_tokens: int
    itemsize: int
    fast: bool

    def elementwise(self, step: str, channels: int, inputs: int, parameters: int = 0) -> StepCost:
        shape = (self.objects, self.queries, channels)
        numbers = (inputs + 1) * self.objects * self.queries * channels + parameters
        return StepCost(step, shape, parameters, 0, numbers * self.itemsize)

    def norm(self, step: str, channels: int) -> StepCost:
        return self.elementwise(step, channels, inputs=1, parameters=2 * channels)

    def linear(self, step: str, tokens: int, channels_in: int, channels_out: int) -> StepCost:
        rows = self.objects * tokens
        parameters = channels_in * channels_out + channels_out
        numbers = rows * (channels_in + channels_out) + parameters
        flops = 2 * rows * channels_in * channels_out
        return StepCost(step, (self.objects, tokens, channels_out), parameters, flops, numbers * self.itemsize)

    def rotation(self, step: str, tokens: int, channels: int) -> StepCost:
        numbers = 2 * self.objects * tokens * channels
        return StepCost(step, (self.objects, tokens, channels), 0, 0, numbers * self.itemsize)

    def softmax_attention(self, step: str, keys: int, channels: int) -> StepCost:
        flops = 2 * 2 * self.objects * self.queries * keys * channels
        numbers = self.objects * channels * (2 * self.queries + 2 * keys)
        return StepCost(step, (self.objects, self.queries, channels), 0, flops, numbers * self.itemsize)

    def attention_in_memory_space(self, step: str, keys: int, attention: AttentionConfig) -> StepCost:
        width, memory_dim = attention.internal_dim, attention.key_dim
        logits = 2 * self.queries * keys * width
        weighting = 2 * attention.num_heads * self.queries * keys * memory_dim
        projection = 2 * self.queries * memory_dim * width
        parameters = memory_dim * width + width
        numbers = self.objects * (2 * self.queries * width + keys * (width + memory_dim)) + parameters
        flops = self.objects * (logits + weighting + projection)
        return StepCost(step, (self.objects, self.queries, width), parameters, flops, numbers * self.itemsize)


def _layer(layer: LayerConfig, sizes: _Sizes, frame: _Sizes) -> Iterator[StepCost]:
    d_model = layer.d_model
    hidden = layer.dim_feedforward // 2 if layer.activation == "glu" else layer.dim_feedforward
    yield frame.norm("norm1", d_model)
    yield from _attention("self_attn", layer.self_attention, frame.queries, frame, frame)
    yield frame.elementwise("self_attention", d_model, inputs=2)
    yield frame.norm("norm2", d_model)
    yield from _attention("cross_attn_image", layer.cross_attention, sizes.memory_tokens, sizes, frame)
    yield sizes.elementwise("cross_attention", d_model, inputs=2)
    yield sizes.norm("norm3", d_model)
    yield sizes.linear("linear1", sizes.queries, d_model, layer.dim_feedforward)
    yield sizes.elementwise("activation", hidden, inputs=1)
    yield sizes.linear("linear2", sizes.queries, hidden, d_model)
    yield sizes.elementwise("feed_forward", d_model, inputs=2)


def _attention(
    name: str, attention: AttentionConfig, keys: int, sizes: _Sizes, frame: _Sizes
) -> Iterator[StepCost]:
    width = attention.internal_dim
    in_memory_space = sizes.fast and memory_space_saves(sizes.queries, keys, attention.head_dim, attention.key_dim)
    yield frame.linear(f"{name}.q", frame.queries, attention.embedding_dim, width)
    yield sizes.linear(f"{name}.k", keys, attention.key_dim, width)
    if not in_memory_space:
        yield sizes.linear(f"{name}.v", keys, attention.key_dim, width)
    if attention.rotary:
        yield frame.rotation(f"{name}.q_rotated", frame.queries, width)
        yield sizes.rotation(f"{name}.k_rotated", keys, width)
    if in_memory_space:
        yield sizes.attention_in_memory_space(f"{name}.attended", keys, attention)
    else:
        yield sizes.softmax_attention(f"{name}.attended", keys, width)
    yield sizes.linear(f"{name}.out", sizes.queries, width, attention.embedding_dim)
