"""The steps of the memory attention as operators, in the order and under the names of the reference."""

from collections.abc import Mapping

import numpy as np

from ...configs.schema import AttentionConfig, MemoryAttentionConfig
from ...rules.record import under
from ...weights import PREFIX
from ..form import Form
from .double import erf_in_float64, layer_norm_in_float64
from .graph import Graph
from .rotation import Places

EPS = 1e-5

INPUTS = ("curr", "curr_pos", "memory", "memory_pos", "pointers", "pointers_pos")
"""What a caller feeds; a graph with a free grid takes `grid` (h, w) as well."""


class Network:
    """Writes the operators of one memory attention into a graph.

    Tokens stay in the caller's layout; only heads are [B,H,T,d]. No input is transposed: onnxruntime 1.32
    crashes in float16 where a transposed batch comes to a MatMul.
    """

    def __init__(
        self, graph: Graph, form: Form, config: MemoryAttentionConfig, weights: Mapping[str, np.ndarray]
    ) -> None:
        self.graph, self.form, self.config, self.weights = graph, form, config, weights
        self.token_axis, self.batch_axis = (0, 1) if config.batch_first else (1, 0)

    def write(self) -> str:
        """Write the whole, inputs and all; the name of the result."""
        graph, config = self.graph, self.config
        curr, curr_pos, memory, memory_pos, pointers, pointers_pos = self._inputs()
        self.curr_pos = curr_pos
        self.frames, self.objects = (graph.count(tokens, self.batch_axis) for tokens in (curr, memory))
        attentions = (config.layer.self_attention, config.layer.cross_attention)
        if any(attention.rotary for attention in attentions):
            self.places = Places(graph, self.form)
        if attentions[1].rotary:
            remembered, pointing = (graph.count(tokens, self.token_axis) for tokens in (memory, pointers))
            most = None if attentions[1].rope_k_repeat else 1
            self.memory_places = self.places.of_memory(remembered, pointing, most)

        self.values = self.keys = graph.add("Concat", memory, pointers, axis=self.token_axis)
        if config.layer.pos_enc_at_cross_attn_keys:
            pos = graph.add("Concat", memory_pos, pointers_pos, axis=self.token_axis)
            self.keys = graph.add("Add", self.values, pos)
        x = curr
        if config.pos_enc_at_input:
            x = graph.add("Add", curr, graph.add("Mul", curr_pos, graph.number(0.1)))
        x = graph.record("input", x)
        for index in range(config.num_layers):
            x = self._layer(f"layers.{index}", x, is_first=index == 0)
        x = graph.record("norm", self._norm("norm", x))
        return graph.rename(graph.add("Identity", x), "out")

    def _inputs(self) -> list[str]:
        config = self.config
        dims = {
            "curr": (self.form.num_tokens, "objects_or_1", config.d_model),
            "memory": ("memory_tokens", "objects", config.memory_dim),
            "pointers": ("pointer_tokens", "objects", config.memory_dim),
        }
        return [self.graph.input(name, self._in_layout(*dims[name.removesuffix("_pos")])) for name in INPUTS]

    def _in_layout(self, tokens: int | str, batch: int | str, channels: int) -> tuple[int | str, ...]:
        return (tokens, batch, channels) if self.config.batch_first else (batch, tokens, channels)

    def output_dims(self) -> tuple[int | str, ...]:
        """The dims of the result."""
        return self._in_layout(self.form.num_tokens, "objects", self.config.d_model)

    def _layer(self, name: str, x: str, is_first: bool) -> str:
        """Self-attention, cross-attention and feed-forward; objects may share a frame up to the second."""
        graph, record = self.graph, under(self.graph.record, name)
        attended = self._self_attention(name, x, self.frames if is_first else self.objects)
        x = record("self_attention", graph.add("Add", x, attended))
        if is_first:
            ones = graph.whole(1)
            order = (ones, self.objects, ones) if self.config.batch_first else (self.objects, ones, ones)
            x = graph.add("Expand", x, graph.add("Concat", *order, axis=0))
        x = record("cross_attention", graph.add("Add", x, self._cross_attention(name, x)))
        return record("feed_forward", graph.add("Add", x, self._feed_forward(name, x)))

    def _self_attention(self, name: str, x: str, batch: str) -> str:
        layer = self.config.layer
        y = self.graph.record(f"{name}.norm1", self._norm(f"{name}.norm1", x))
        q = self.graph.add("Add", y, self.curr_pos) if layer.pos_enc_at_attn else y
        places = self.places.of_frame if layer.self_attention.rotary else ""
        return self._attention(f"{name}.self_attn", layer.self_attention, (q, q, y), places, batch)

    def _cross_attention(self, name: str, x: str) -> str:
        layer = self.config.layer
        y = self.graph.record(f"{name}.norm2", self._norm(f"{name}.norm2", x))
        q = self.graph.add("Add", y, self.curr_pos) if layer.pos_enc_at_cross_attn_queries else y
        tokens = (q, self.keys, self.values)
        places = self.memory_places if layer.cross_attention.rotary else ""
        return self._attention(f"{name}.cross_attn_image", layer.cross_attention, tokens, places, self.objects)

    def _feed_forward(self, name: str, x: str) -> str:
        record = under(self.graph.record, name)
        y = record("norm3", self._norm(f"{name}.norm3", x))
        hidden = record("linear1", self._linear(f"{name}.linear1", y))
        active = record("activation", self._activation(hidden))
        return record("linear2", self._linear(f"{name}.linear2", active))

    def _attention(
        self, name: str, attention: AttentionConfig, tokens: tuple[str, str, str], places: str, batch: str
    ) -> str:
        """Project queries, keys and values, turn the first two by their places, attend, project back."""
        graph, record = self.graph, under(self.graph.record, name)
        query, key, value = (
            record(letter, self._heads(self._linear(f"{name}.{letter}_proj", given), attention))
            for letter, given in zip("qkv", tokens, strict=True)
        )
        if attention.rotary:
            turn = (batch, attention.head_dim, attention.rope_theta)
            query = record("q_rotated", self.places.rotate(query, self.places.of_frame, *turn))
            key = record("k_rotated", self.places.rotate(key, places, *turn))
        heads = self._attend(query, key, value, attention.head_dim)
        merged = graph.add("Transpose", heads, perm=[2, 0, 1, 3] if self.config.batch_first else [0, 2, 1, 3])
        merged = graph.add("Reshape", merged, graph.whole(0, 0, attention.internal_dim))
        return record("out", self._linear(f"{name}.out_proj", record("attended", merged)))

    def _heads(self, x: str, attention: AttentionConfig) -> str:
        """[B,H,T,d] from tokens in the caller's layout."""
        split = self.graph.add("Reshape", x, self.graph.whole(0, 0, attention.num_heads, attention.head_dim))
        return self.graph.add("Transpose", split, perm=[1, 2, 0, 3] if self.config.batch_first else [0, 2, 1, 3])

    def _attend(self, query: str, key: str, value: str, head_dim: int) -> str:
        """softmax(q kᵀ / √d) v for every part of the queries."""
        graph = self.graph
        if not self.form.has_operators:
            query = graph.add("Mul", query, graph.number(head_dim**-0.5))
            key = graph.add("Transpose", key, perm=[0, 1, 3, 2])
        if self.form.parts == 1:
            return self._attend_part(query, key, value)
        parts = graph.split("Split", query, outputs=self.form.parts, axis=2, num_outputs=self.form.parts)
        return graph.add("Concat", *(self._attend_part(part, key, value) for part in parts), axis=2)

    def _attend_part(self, query: str, key: str, value: str) -> str:
        """One operator, or its formula of scaled queries and transposed keys; softmax in float32 or better."""
        graph = self.graph
        working = np.promote_types(graph.dtype, np.float32)
        if self.form.has_operators:
            return graph.add("Attention", query, key, value, softmax_precision=graph.kind(working))
        logits = graph.add("MatMul", query, key)
        if working == graph.dtype:
            return graph.add("MatMul", graph.add("Softmax", logits, axis=-1), value)
        weights = graph.add("Softmax", graph.cast(logits, working), axis=-1)
        return graph.add("MatMul", graph.cast(weights, graph.dtype), value)

    def _activation(self, x: str) -> str:
        graph = self.graph
        if self.config.layer.activation == "relu":
            return graph.add("Relu", x)
        if self.config.layer.activation == "glu":
            first, second = graph.split("Split", x, outputs=2, axis=-1, num_outputs=2)
            return graph.add("Mul", first, graph.add("Sigmoid", second))
        scaled = graph.add("Mul", x, graph.number(0.5**0.5))
        erf = erf_in_float64(graph, scaled) if graph.dtype == np.float64 else graph.add("Erf", scaled)
        return graph.add("Mul", graph.add("Mul", x, graph.number(0.5)), graph.add("Add", erf, graph.number(1.0)))

    def _linear(self, name: str, x: str) -> str:
        weight = self._parameter(f"{name}.weight", transposed=True)
        return self.graph.add("Add", self.graph.add("MatMul", x, weight), self._parameter(f"{name}.bias"))

    def _norm(self, name: str, x: str) -> str:
        affine = self._parameter(f"{name}.weight"), self._parameter(f"{name}.bias")
        if self.graph.dtype == np.float64:
            return layer_norm_in_float64(self.graph, x, *affine, EPS)
        return self.graph.add("LayerNormalization", x, *affine, axis=-1, epsilon=EPS)

    def _parameter(self, name: str, transposed: bool = False) -> str:
        """A parameter under SAM 2's name; matrices are [in, out], as MatMul takes them."""
        array = self.weights[f"{PREFIX}{name}"]
        return self.graph.constant(array.T if transposed else array, f"{PREFIX}{name}")
