"""What hypothesis draws: whole memory attentions with weights and inputs, from a seed."""

from dataclasses import dataclass, field

import numpy as np
import torch
from hypothesis import strategies as st

import memory_attention as ma
from memory_attention.configs import AttentionConfig, Config, LayerConfig, MemoryAttentionConfig, MemoryBankConfig
from memory_attention.inputs import Inputs

seeds = st.integers(0, 2**32 - 1)
grids = st.tuples(st.integers(1, 5), st.integers(1, 5))
layouts = st.sampled_from(["contiguous", "strided", "reversed", "transposed"])


@dataclass(frozen=True)
class Case:
    """A config, its weights (float64) and its inputs (float64)."""

    config: Config
    weights: dict[str, np.ndarray] = field(repr=False)
    inputs: Inputs = field(repr=False)

    def _repr_pretty_(self, printer, cycle):
        shapes = [getattr(value, "shape", value) for value in self.inputs]
        printer.text(f"Case({self.config!r}, inputs={shapes})")


def lay_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same numbers, otherwise arranged in memory."""
    if layout == "strided":
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    if layout == "reversed":
        return array[::-1].copy()[::-1]
    if layout == "transposed":
        return array.swapaxes(0, -1).copy().swapaxes(0, -1)
    return array


@st.composite
def attention_configs(draw, embedding_dim, **fixed):
    """An attention of that width: its heads and downsampling divide it, its head dim fits the rotation."""
    splits = [(1, 1), (2, 1), (1, 2), (4, 1), (2, 2)]
    fitting = [(h, r) for h, r in splits if embedding_dim % (4 * h * r) == 0]
    heads, rate = draw(st.sampled_from(fitting))
    return AttentionConfig(
        embedding_dim=embedding_dim,
        num_heads=heads,
        downsample_rate=rate,
        rotary=draw(st.sampled_from([True, True, False])),
        rope_theta=draw(st.sampled_from([10000.0, 100.0])),
        dropout=0.1,
        **fixed,
    )


@st.composite
def configs(draw, grid, max_layers=2):
    d_model = draw(st.sampled_from([4, 8, 16, 32]))
    memory_dim = draw(st.sampled_from([1, 2, 4, 8, 16]))
    sizes = (grid[1], grid[0]) if draw(st.booleans()) else (64, 64)
    layer = LayerConfig(
        d_model=d_model,
        activation=draw(st.sampled_from(["relu", "gelu", "glu"])),
        dim_feedforward=draw(st.sampled_from([2, 6, 16])),
        pos_enc_at_attn=draw(st.booleans()),
        pos_enc_at_cross_attn_keys=draw(st.booleans()),
        pos_enc_at_cross_attn_queries=draw(st.booleans()),
        self_attention=draw(attention_configs(d_model, feat_sizes=sizes)),
        cross_attention=draw(
            attention_configs(d_model, feat_sizes=sizes, kv_in_dim=memory_dim, rope_k_repeat=True)
        ),
    )
    return Config(
        name="drawn",
        memory_attention=MemoryAttentionConfig(
            d_model=d_model,
            pos_enc_at_input=draw(st.booleans()),
            layer=layer,
            num_layers=draw(st.integers(1, max_layers)),
            batch_first=draw(st.sampled_from([True, True, False])),
        ),
        memory_bank=MemoryBankConfig(use_obj_ptrs_in_encoder=False),
    )


@st.composite
def cases(draw, max_layers=2):
    """Everything the equivalence rules of the design name, drawn at once."""
    grid = draw(grids)
    config = draw(configs(grid, max_layers))
    network, layer = config.memory_attention, config.memory_attention.layer
    tokens = grid[0] * grid[1]
    frames, pointers = draw(st.integers(0, 3)), draw(st.integers(0, 5))
    if frames + pointers == 0:
        frames = 1
    rng = np.random.default_rng(draw(seeds))
    objects = draw(st.integers(1, 3))
    scale = draw(st.sampled_from([1.0, 1.0, 3.0, 2.0**-8]))
    layout = draw(layouts)

    def array(count, channels):
        shape = (count, objects, channels) if network.batch_first else (objects, count, channels)
        return lay_out(rng.standard_normal(shape) * scale, layout)

    needs_curr_pos = layer.pos_enc_at_attn or layer.pos_enc_at_cross_attn_queries
    memory_tokens = frames * tokens + pointers
    inputs = Inputs(
        curr=array(tokens, network.d_model),
        memory=array(memory_tokens, network.memory_dim),
        curr_pos=array(tokens, network.d_model) if needs_curr_pos or draw(st.booleans()) else None,
        memory_pos=(
            array(memory_tokens, network.memory_dim)
            if layer.pos_enc_at_cross_attn_keys or draw(st.booleans())
            else None
        ),
        num_obj_ptr_tokens=pointers,
        grid=grid,
    )
    return Case(config, random_weights(config, rng), inputs)


def random_weights(config: Config, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights in which nothing is special: no norm weight is 1, no bias is 0."""
    weights = {}
    for name, shape in ma.parameter_shapes(config).items():
        noise = rng.standard_normal(shape)
        weights[name] = noise * shape[1] ** -0.5 if len(shape) == 2 else 0.3 * noise + (".norm" in name)
    return weights


def rounded(case: Case, dtype: str) -> Case:
    """The case with every number rounded to `dtype`, held in float64."""

    def to(array):
        if not isinstance(array, np.ndarray):
            return array
        tensor = torch.from_numpy(np.array(array, order="C")).to(getattr(torch, dtype)).double()
        result = np.empty_like(array, subok=False)
        result[...] = tensor.numpy()
        return result

    weights = {name: to(weight) for name, weight in case.weights.items()}
    return Case(case.config, weights, Inputs(*map(to, case.inputs)))


def shared_frame(case):
    """The case, and the case with the first object's frame for all of them, given once."""
    axis = 1 if case.config.memory_attention.batch_first else 0
    objects = case.inputs.curr.shape[axis]

    def first(array):
        return None if array is None else np.take(array, [0], axis)

    once = case.inputs._replace(curr=first(case.inputs.curr), curr_pos=first(case.inputs.curr_pos))
    repeated = once._replace(
        curr=np.repeat(once.curr, objects, axis),
        curr_pos=None if once.curr_pos is None else np.repeat(once.curr_pos, objects, axis),
    )
    return once, repeated, axis


def drawn(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))
