"""What a frame costs: parameters, FLOPs and bytes of every step, counted from the shapes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .configs import Config
from .configs.schema import AttentionConfig, LayerConfig
from .rules.grids import grid_of
from .rules.memory_space import Tokens, memory_space_saves, queries_flops, queries_gain, queries_logits_flops


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
    pointers: int | None = None,
    grid: tuple[int, int] | None = None,
) -> list[StepCost]:
    """The cost of every step of one frame, in order, with the names of `Model.trace`.

    FLOPs are those of the matrix products, a multiplication and an addition counting two. Bytes are the
    inputs read once, the parameters read once and the output written once, of `itemsize` bytes each.
    `fast` counts values, and queries, in memory space where that saves work: the steps `v` and `k` fall away.
    `shared` counts a frame that the objects share. The last `pointers` of the memory tokens are no places of
    the `grid` (h, w): by default those that are left of whole frames, and SAM 2's guess.
    """
    network = config.memory_attention
    pointers = memory_tokens % queries if pointers is None else pointers
    sizes = _Sizes(objects, queries, memory_tokens, itemsize, fast, pointers, grid)
    frame = replace(sizes, objects=1) if shared else sizes
    steps = [frame.elementwise("input", network.d_model, inputs=2)]
    for index in range(network.num_layers):
        steps += [
            replace(cost, step=f"layers.{index}.{cost.step}")
            for cost in _layer(network.layer, sizes, frame if index == 0 else sizes)
        ]
    return [*steps, sizes.norm("norm", network.d_model)]


def needed_flops(
    config: Config,
    queries: int,
    memory_tokens: int,
    objects: int = 1,
    pointers: int | None = None,
    grid: tuple[int, int] | None = None,
) -> int:
    """The FLOPs that objects on one frame cannot do without, as far as this project knows."""
    sizes = (queries, memory_tokens, objects)
    costs = step_costs(config, *sizes, fast=True, shared=True, pointers=pointers, grid=grid)
    return sum(cost.flops for cost in costs)


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
    pointers: int = 0
    grid: tuple[int, int] | None = None

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
        logits = self.objects * 2 * self.queries * keys * attention.internal_dim
        return self._from_memories(step, keys, attention, logits, attention.internal_dim, projections=1)

    def attention_of_memory_space_queries(
        self, step: str, tokens: Tokens, attention: AttentionConfig, frames: int
    ) -> StepCost:
        """Each of `frames` frames, which objects may share, is brought to memory space once."""
        memory_dim = attention.key_dim
        brought = frames * queries_flops(tokens, attention.head_dim, memory_dim)
        logits = self.objects * queries_logits_flops(tokens, memory_dim)
        flops = attention.num_heads * (brought + logits)
        return self._from_memories(
            step, tokens.placed + tokens.placeless, attention, flops, memory_dim, projections=2
        )

    def _from_memories(
        self, step: str, keys: int, attention: AttentionConfig, logits: int, key_width: int, projections: int
    ) -> StepCost:
        """Logits, however they were made of keys so wide; means of memories, and their projection."""
        width, memory_dim = attention.internal_dim, attention.key_dim
        weighting = 2 * attention.num_heads * self.queries * keys * memory_dim
        projection = 2 * self.queries * memory_dim * width
        parameters = projections * (memory_dim * width + width)
        numbers = self.objects * (2 * self.queries * width + keys * (key_width + memory_dim)) + parameters
        flops = logits + self.objects * (weighting + projection)
        return StepCost(step, (self.objects, self.queries, width), parameters, flops, numbers * self.itemsize)


def _layer(layer: LayerConfig, sizes: _Sizes, frame: _Sizes) -> Iterator[StepCost]:
    d_model = layer.d_model
    hidden = layer.dim_feedforward // 2 if layer.activation == "glu" else layer.dim_feedforward
    yield frame.norm("norm1", d_model)
    yield from _attention("self_attn", layer.self_attention, frame.queries, 0, frame, frame)
    yield frame.elementwise("self_attention", d_model, inputs=2)
    yield frame.norm("norm2", d_model)
    memory = sizes.memory_tokens, sizes.pointers
    yield from _attention("cross_attn_image", layer.cross_attention, *memory, sizes, frame)
    yield sizes.elementwise("cross_attention", d_model, inputs=2)
    yield sizes.norm("norm3", d_model)
    yield sizes.linear("linear1", sizes.queries, d_model, layer.dim_feedforward)
    yield sizes.elementwise("activation", hidden, inputs=1)
    yield sizes.linear("linear2", sizes.queries, hidden, d_model)
    yield sizes.elementwise("feed_forward", d_model, inputs=2)


def _attention(
    name: str, attention: AttentionConfig, keys: int, pointers: int, sizes: _Sizes, frame: _Sizes
) -> Iterator[StepCost]:
    width, counted = attention.internal_dim, (attention.head_dim, attention.key_dim)
    in_memory_space = sizes.fast and memory_space_saves(sizes.queries, keys, *counted)
    placed, grid = 0, (0, 0)
    if in_memory_space and attention.rotary:
        placed, grid = keys - pointers, grid_of(sizes.queries, sizes.grid, attention.feat_sizes)
    tokens = Tokens(sizes.queries, placed, keys - placed, grid)
    queries_too = in_memory_space and queries_gain(tokens, *counted) > 1
    yield frame.linear(f"{name}.q", frame.queries, attention.embedding_dim, width)
    if not queries_too:
        yield sizes.linear(f"{name}.k", keys, attention.key_dim, width)
    if not in_memory_space:
        yield sizes.linear(f"{name}.v", keys, attention.key_dim, width)
    if attention.rotary:
        yield frame.rotation(f"{name}.q_rotated", frame.queries, width)
        if not queries_too:
            yield sizes.rotation(f"{name}.k_rotated", keys, width)
    if queries_too:
        yield sizes.attention_of_memory_space_queries(f"{name}.attended", tokens, attention, frame.objects)
    elif in_memory_space:
        yield sizes.attention_in_memory_space(f"{name}.attended", keys, attention)
    else:
        yield sizes.softmax_attention(f"{name}.attended", keys, width)
    yield sizes.linear(f"{name}.out", sizes.queries, width, attention.embedding_dim)
