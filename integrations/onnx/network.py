"""The steps of the memory attention as operators, in the order and under the names of the reference."""

from collections.abc import Mapping

import numpy as np

from ...configs.schema import AttentionConfig, LayerConfig, MemoryAttentionConfig
from ...rules.record import under
from ...weights import PREFIX
from .double import erf_in_float64, layer_norm_in_float64
from .form import Form
from .graph import Graph
from .rotation import Places

EPS = 1e-5


class Network:
    """Writes the operators of one memory attention into a graph.

    Tokens stay in the caller's layout; [B,H,T,d] are the heads alone. No input is transposed: onnxruntime 1.32
    crashes in float16 where a transposed batch comes to a MatMul.
    """

    def __init__(
        self, graph: Graph, form: Form, config: MemoryAttentionConfig, weights: Mapping[str, np.ndarray]
    ) -> None:
        self.graph, self.form, self.config, self.weights = graph, form, config, weights
        self.places: Places | None = None
        self.token_axis = 0 if config.batch_first else 1

    def write(self) -> str:
        """Write the whole, inputs and all; the name of the result."""
        graph, config = self.graph, self.config
        rotary = config.layer.self_attention.rotary or config.layer.cross_attention.rotary
        curr, curr_pos, memory, memory_pos, pointers, pointers_pos = self._inputs()
        frames, objects = (graph.count(tokens, 1 - self.token_axis) for tokens in (curr, memory))
        self.places = Places(graph, self.form) if rotary else None
        places = self._places_of_memory(memory, pointers)
        memory = graph.add("Concat", memory, pointers, axis=self.token_axis)
        keys = memory
        if config.layer.pos_enc_at_cross_attn_keys:
            pos = graph.add("Concat", memory_pos, pointers_pos, axis=self.token_axis)
            keys = graph.add("Add", memory, pos)
        x = curr
        if config.pos_enc_at_input:
            x = graph.add("Add", curr, graph.add("Mul", curr_pos, graph.constant(np.array(0.1))))
        x = graph.record("input", x)
        for index in range(config.num_layers):
            x = self._self_attention(f"layers.{index}", x, curr_pos, objects if index else frames)
            # Up to here the objects may share one frame.
            x = x if index else graph.add("Expand", x, self._each(objects))
            x = self._cross_attention(f"layers.{index}", x, curr_pos, memory, keys, places, objects)
            x = self._feed_forward(f"layers.{index}", x)
        x = graph.record("norm", self._norm("norm", x))
        return graph.rename(graph.add("Identity", x), "out")

    def _inputs(self) -> list[str]:
        config, grid = self.config, self.form.grid
        tokens = grid[0] * grid[1] if grid else "tokens"
        kinds = (("curr", tokens, "objects_or_1", config.d_model), ("memory", "memory_tokens", "objects", None))
        kinds = (*kinds, ("pointers", "pointer_tokens", "objects", None))
        names = []
        for name, count, batch, channels in kinds:
            order = (count, batch) if config.batch_first else (batch, count)
            for each in (name, f"{name}_pos"):
                names.append(self.graph.input(each, (*order, channels or config.memory_dim)))
        return names

    def _each(self, objects: str) -> str:
        """The shape that gives every object a frame of its own."""
        ones = self.graph.whole(1)
        order = (ones, objects, ones) if self.config.batch_first else (objects, ones, ones)
        return self.graph.add("Concat", *order, axis=0)

    def _places_of_memory(self, memory: str, pointers: str) -> str | None:
        attention = self.config.layer.cross_attention
        if self.places is None or not attention.rotary:
            return None
        counts = (self.graph.count(tokens, self.token_axis) for tokens in (memory, pointers))
        return self.places.of_memory(*counts, most=None if attention.rope_k_repeat else 1)

    def _self_attention(self, name: str, x: str, query_pos: str, batch: str) -> str:
        graph, layer, record = self.graph, self.config.layer, under(self.graph.record, name)
        y = record("norm1", self._norm(f"{name}.norm1", x))
        q = graph.add("Add", y, query_pos) if layer.pos_enc_at_attn else y
        places = self.places.of_frame if self.places else None
        attended = self._attention(f"{name}.self_attn", layer.self_attention, q, q, y, places, batch)
        return record("self_attention", graph.add("Add", x, attended))

    def _cross_attention(
        self, name: str, x: str, query_pos: str, memory: str, keys: str, places: str | None, batch: str
    ) -> str:
        graph, layer, record = self.graph, self.config.layer, under(self.graph.record, name)
        y = record("norm2", self._norm(f"{name}.norm2", x))
        q = graph.add("Add", y, query_pos) if layer.pos_enc_at_cross_attn_queries else y
        attended = self._attention(
            f"{name}.cross_attn_image", layer.cross_attention, q, keys, memory, places, batch
        )
        return record("cross_attention", graph.add("Add", x, attended))

    def _feed_forward(self, name: str, x: str) -> str:
        graph, layer, record = self.graph, self.config.layer, under(self.graph.record, name)
        y = record("norm3", self._norm(f"{name}.norm3", x))
        hidden = record("linear1", self._linear(f"{name}.linear1", y))
        active = record("activation", self._activation(layer, hidden))
        updated = record("linear2", self._linear(f"{name}.linear2", active))
        return record("feed_forward", graph.add("Add", x, updated))

    def _attention(
        self, name: str, attention: AttentionConfig, q: str, k: str, v: str, places: str | None, batch: str
    ) -> str:
        graph, record = self.graph, under(self.graph.record, name)
        query, key, value = (
            record(letter, self._heads(self._linear(f"{name}.{letter}_proj", tokens), attention))
            for letter, tokens in (("q", q), ("k", k), ("v", v))
        )
        if attention.rotary:
            assert self.places is not None
            assert places is not None
            turn = attention.head_dim, attention.rope_theta
            query = record("q_rotated", self.places.rotate(query, self.places.of_frame, batch, *turn))
            key = record("k_rotated", self.places.rotate(key, places, batch, *turn))
        heads = self._attend(query, key, value, attention.head_dim)
        merged = graph.add("Transpose", heads, perm=[2, 0, 1, 3] if self.config.batch_first else [0, 2, 1, 3])
        merged = graph.add("Reshape", merged, graph.whole(0, 0, attention.internal_dim))
        return record("out", self._linear(f"{name}.out_proj", record("attended", merged)))

    def _attend(self, query: str, key: str, value: str, head_dim: int) -> str:
        """softmax(q kᵀ / √d) v, the softmax in float32 or better."""
        graph = self.graph
        working = np.promote_types(graph.dtype, np.float32)
        if self.form.has_operators:
            return graph.add("Attention", query, key, value, softmax_precision=graph.kind(working))
        scaled = graph.add("Mul", query, graph.constant(np.array(head_dim**-0.5)))
        logits = graph.add("MatMul", scaled, graph.add("Transpose", key, perm=[0, 1, 3, 2]))
        if working == graph.dtype:
            return graph.add("MatMul", graph.add("Softmax", logits, axis=-1), value)
        weights = graph.cast(graph.add("Softmax", graph.cast(logits, working), axis=-1), graph.dtype)
        return graph.add("MatMul", weights, value)

    def _activation(self, layer: LayerConfig, x: str) -> str:
        graph = self.graph
        if layer.activation == "relu":
            return graph.add("Relu", x)
        if layer.activation == "glu":
            first, second = graph.split("Split", x, outputs=2, axis=-1, num_outputs=2)
            return graph.add("Mul", first, graph.add("Sigmoid", second))
        scaled = graph.add("Mul", x, graph.constant(np.array(0.5**0.5)))
        erf = erf_in_float64(graph, scaled) if graph.dtype == np.float64 else graph.add("Erf", scaled)
        half = graph.add("Mul", x, graph.constant(np.array(0.5)))
        return graph.add("Mul", half, graph.add("Add", erf, graph.constant(np.array(1.0))))

    def _heads(self, x: str, attention: AttentionConfig) -> str:
        """[B,H,T,d] from tokens in the caller's layout."""
        graph = self.graph
        split = graph.add("Reshape", x, graph.whole(0, 0, attention.num_heads, attention.head_dim))
        return graph.add("Transpose", split, perm=[1, 2, 0, 3] if self.config.batch_first else [0, 2, 1, 3])

    def _linear(self, name: str, x: str) -> str:
        weight = self.graph.constant(self._parameter(f"{name}.weight").T, f"{PREFIX}{name}.weight")
        product = self.graph.add("MatMul", x, weight)
        return self.graph.add("Add", product, self._named(f"{name}.bias"))

    def _norm(self, name: str, x: str) -> str:
        weight, bias = self._named(f"{name}.weight"), self._named(f"{name}.bias")
        if self.graph.dtype == np.float64:
            return layer_norm_in_float64(self.graph, x, weight, bias, EPS)
        return self.graph.add("LayerNormalization", x, weight, bias, axis=-1, epsilon=EPS)

    def _named(self, name: str) -> str:
        return self.graph.constant(self._parameter(name), f"{PREFIX}{name}")

    def _parameter(self, name: str) -> np.ndarray:
        return self.weights[f"{PREFIX}{name}"]
