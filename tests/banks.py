"""Either backend's memory bank behind NumPy arrays, and what hypothesis draws for it."""

from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st

from memory_attention import accelerated, reference
from memory_attention.configs import (
    AttentionConfig,
    Config,
    LayerConfig,
    MemoryAttentionConfig,
    MemoryBankConfig,
    bank_parameter_shapes,
)
from memory_attention.rules.frame_choice import memory_frames, pointer_frames

BACKENDS = ("reference", "accelerated")


def make_config(d_model: int = 8, memory_dim: int = 4, rotary: bool = True, **settings: Any) -> Config:
    own = AttentionConfig(embedding_dim=d_model)
    cross = AttentionConfig(embedding_dim=d_model, kv_in_dim=memory_dim, rope_k_repeat=True, rotary=rotary)
    layer = LayerConfig(d_model=d_model, dim_feedforward=8, self_attention=own, cross_attention=cross)
    return Config(
        memory_attention=MemoryAttentionConfig(d_model=d_model, layer=layer, num_layers=1),
        memory_bank=MemoryBankConfig(**settings),
    )


def draw_parameters(config: Config, dtype: str = "float64", seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in bank_parameter_shapes(config).items()}


class Bank:
    """Either backend's bank behind NumPy arrays, so that a test is written once."""

    def __init__(self, backend: str, config: Config, parameters: dict[str, np.ndarray] | None = None) -> None:
        self.backend = backend
        package = reference if backend == "reference" else accelerated
        parameters = draw_parameters(config) if parameters is None else parameters
        self.bank = package.MemoryBank(config, parameters)
        self.attention_class = package.MemoryAttention

    def own(self, array: Any) -> Any:
        """A NumPy array as this backend's own; anything else as it is."""
        if self.backend == "reference" or not isinstance(array, np.ndarray):
            return array
        return torch.from_numpy(array)

    def add(
        self, frame: Any, memory: Any, pointer: Any = None, conditioning: bool = False, absent: Any = None
    ) -> None:
        self.bank.add(frame, self.own(memory), self.own(pointer), conditioning, self.own(absent))

    def tokens(self, *args: Any, **kwargs: Any) -> Any:
        return self.numpy(self.bank.tokens(*args, **kwargs))

    def numpy(self, tokens: Any) -> Any:
        return tokens._replace(memory=to_numpy(tokens.memory), memory_pos=to_numpy(tokens.memory_pos))


def to_numpy(array: Any) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else array.detach().numpy()


def never(*args: Any, **kwargs: Any) -> Any:
    """An attention that is not to be called."""
    raise AssertionError("the attention was called")


def memory_of(value: float, batch: int = 1, channels: int = 4, height: int = 2, width: int = 2) -> np.ndarray:
    return np.full((batch, channels, height, width), float(value))


def pointer_of(value: float, batch: int = 1, channels: int = 8) -> np.ndarray:
    return np.full((batch, channels), float(value))


class Scenario(NamedTuple):
    """A bank's contents as (frame, prompted, has a pointer) in order of addition, and a question to it."""

    config: Config
    added: list[tuple[int, bool, bool]]
    frame: int
    num_frames: int
    backwards: bool
    training: bool

    @property
    def settings(self) -> MemoryBankConfig:
        return self.config.memory_bank

    @property
    def conditioning(self) -> list[int]:
        return [number for number, prompted, _ in self.added if prompted]

    @property
    def memories(self) -> list[int]:
        return [number for number, _, _ in self.added]

    @property
    def pointers(self) -> list[int]:
        return [number for number, _, has_pointer in self.added if has_pointer]

    def choose(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        direction = (self.backwards, self.training)
        return (
            memory_frames(self.frame, self.conditioning, self.memories, self.settings, *direction),
            pointer_frames(
                self.frame, self.num_frames, self.conditioning, self.pointers, self.settings, *direction
            ),
        )

    def fill(self, bank: Bank, seed: int, dtype: str = "float64", batch: int = 2) -> None:
        rng = np.random.default_rng(seed)
        d_model, memory_dim = self.config.memory_attention.d_model, self.config.memory_attention.memory_dim
        for number, prompted, has_pointer in self.added:
            memory = rng.normal(size=(batch, memory_dim, 2, 3)).astype(dtype)
            pointer = rng.normal(size=(batch, d_model)).astype(dtype)
            absent = rng.random(batch) < 0.3
            bank.add(number, memory, pointer if has_pointer else None, prompted, absent)


@st.composite
def settings_of_banks(draw: st.DrawFn) -> dict[str, Any]:
    flags = (
        "use_obj_ptrs_in_encoder",
        "only_obj_ptrs_in_the_past_for_eval",
        "add_tpos_enc_to_obj_ptrs",
        "proj_tpos_enc_in_obj_ptrs",
        "use_signed_tpos_enc_to_obj_ptrs",
        "no_obj_embed_spatial",
    )
    return {
        "num_maskmem": draw(st.integers(1, 8)),
        "max_cond_frames_in_attn": draw(st.sampled_from([-1, 2, 3, 4])),
        "memory_temporal_stride_for_eval": draw(st.integers(1, 5)),
        "max_obj_ptrs_in_encoder": draw(st.integers(1, 12)),
    } | {flag: draw(st.booleans()) for flag in flags}


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    num_frames = draw(st.integers(1, 30))
    numbers = draw(st.lists(st.integers(0, num_frames - 1), min_size=1, unique=True))
    prompted = draw(st.sets(st.sampled_from(numbers), min_size=1, max_size=8))
    pointing = draw(st.sets(st.sampled_from(numbers)))
    return Scenario(
        make_config(memory_dim=draw(st.sampled_from([4, 8])), **draw(settings_of_banks())),
        [(number, number in prompted, number in pointing) for number in numbers],
        draw(st.integers(0, num_frames - 1)),
        num_frames,
        draw(st.booleans()),
        draw(st.booleans()),
    )
