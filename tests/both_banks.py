"""Banks and attentions of both backends, and arrays of their own, for tests that take either."""

from typing import Any

import numpy as np
import pytest

import memory_attention as ma
from memory_attention import reference
from memory_attention.configs import Config
from memory_attention.weights import PREFIX

torch = pytest.importorskip("torch", reason="one of the two banks is PyTorch's")

from memory_attention import accelerated  # noqa: E402

BACKENDS = ("reference", "accelerated")
both = pytest.mark.parametrize("backend", BACKENDS)
TINY = ma.load_config("tiny")
WEIGHTS = ma.draw_weights(TINY)
C, K = TINY.memory_attention.d_model, TINY.memory_attention.memory_dim


def with_settings(**changes: Any) -> Config:
    return TINY.with_changes(memory_bank=TINY.memory_bank.model_copy(update=changes))


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def own(backend: str, array: np.ndarray, dtype: str = "float32") -> Any:
    return array.astype(dtype) if backend == "reference" else torch.from_numpy(array).to(getattr(torch, dtype))


def bank_of(backend: str, config: Config = TINY) -> Any:
    if backend == "reference":
        return reference.MemoryBank(config, WEIGHTS)
    return accelerated.MemoryBank(config, WEIGHTS).requires_grad_(False)


def attention_of(backend: str) -> Any:
    """A bare `MemoryAttention` with the drawn weights."""
    package = reference if backend == "reference" else accelerated
    attention = package.MemoryAttention.from_config(TINY.memory_attention)
    weights = {name.removeprefix(PREFIX): w for name, w in WEIGHTS.items() if name.startswith(PREFIX)}
    if backend == "reference":
        attention.load_parameters(weights)
        return attention
    attention.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    return attention.eval().requires_grad_(False)


class Heard:
    """An attention that only keeps what it was given."""

    def __call__(self, **given: Any) -> Any:
        self.given = given
        return given["curr"]
