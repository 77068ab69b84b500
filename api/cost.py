"""What a frame costs: parameters, FLOPs and bytes of every step, counted from the shapes."""

from collections.abc import Iterator
from dataclasses import dataclass

from .configs import Config
from .configs.schema import AttentionConfig, LayerConfig


@dataclass(frozen=True)
class StepCost:
    """One step: its output's shape, its parameters, its FLOPs and the bytes it cannot help moving."""

    step: str
    shape: tuple[int, ...]
    parameters: int
    flops: int
    bytes: int


def step_costs(
    config: Config, queries: int, memory_tokens: int, objects: int = 1, itemsize: int = 4
) -> list[StepCost]:
    """The cost of every step of one frame, in order, with the names of `Model.trace`.

    FLOPs are those of the matrix products, a multiplication and an addition counting two. Bytes are the
    inputs read once, the parameters read once and the output written once, of `itemsize` bytes each.
    """
    network = config.memory_attention
    sizes = _Sizes(objects, queries, memory_tokens, itemsize)
    steps = [sizes.elementwise("input", network.d_model, inputs=2)]
    for index in range(network.num_layers):
        steps += [
            StepCost(f"layers.{index}.{cost.step}", cost.shape, cost.parameters, cost.flops, cost.bytes)
            for cost in _layer(network.layer, sizes)
        ]
    return [*steps, sizes.norm("norm", network.d_model)]


@dataclass(frozen=True)
class _Sizes:
    objects: int
    queries: int
    memory_tokens: int
    itemsize: int

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


def _layer(layer: LayerConfig, sizes: _Sizes) -> Iterator[StepCost]:
    d_model = layer.d_model
    hidden = layer.dim_feedforward // 2 if layer.activation == "glu" else layer.dim_feedforward
    yield sizes.norm("norm1", d_model)
    yield from _attention("self_attn", layer.self_attention, sizes.queries, sizes)
    yield sizes.elementwise("self_attention", d_model, inputs=2)
    yield sizes.norm("norm2", d_model)
    yield from _attention("cross_attn_image", layer.cross_attention, sizes.memory_tokens, sizes)
    yield sizes.elementwise("cross_attention", d_model, inputs=2)
    yield sizes.norm("norm3", d_model)
    yield sizes.linear("linear1", sizes.queries, d_model, layer.dim_feedforward)
    yield sizes.elementwise("activation", hidden, inputs=1)
    yield sizes.linear("linear2", sizes.queries, hidden, d_model)
    yield sizes.elementwise("feed_forward", d_model, inputs=2)


def _attention(name: str, attention: AttentionConfig, keys: int, sizes: _Sizes) -> Iterator[StepCost]:
    width = attention.internal_dim
    yield sizes.linear(f"{name}.q", sizes.queries, attention.embedding_dim, width)
    yield sizes.linear(f"{name}.k", keys, attention.key_dim, width)
    yield sizes.linear(f"{name}.v", keys, attention.key_dim, width)
    if attention.rotary:
        yield sizes.rotation(f"{name}.q_rotated", sizes.queries, width)
        yield sizes.rotation(f"{name}.k_rotated", keys, width)
    yield sizes.softmax_attention(f"{name}.attended", keys, width)
    yield sizes.linear(f"{name}.out", sizes.queries, width, attention.embedding_dim)
