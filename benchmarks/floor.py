"""The least time that a case can take: its needed operations at the rate of a large matrix product."""

from collections.abc import Callable
from typing import Any

from ..configs import Config
from ..cost import needed_flops, step_costs
from ..inputs import SAM2_POINTERS
from .cases import Case, Setting


def needed(config: Config, case: Case) -> int:
    """FLOPs of the case; in a video of the frames after the first, each with the memories that there are.

    Gradients need two more products for each one: those of its two factors.
    """
    tokens, full = case.grid**2, config.memory_bank.num_maskmem
    if case.frames == 1:
        pointers = _pointer_tokens(config)
        once = needed_flops(config, tokens, _memory_tokens(config, case), case.objects, pointers)
        return 3 * once if case.gradients else once
    reach = config.memory_bank.max_obj_ptrs_in_encoder
    return sum(
        needed_flops(config, tokens, min(frame, full) * tokens + pointers, case.objects, pointers)
        for frame, pointers in (
            (frame, min(frame, reach) * config.num_pointer_tokens) for frame in range(1, case.frames)
        )
    )


def _memory_tokens(config: Config, case: Case) -> int:
    """The tokens that one frame sees."""
    return case.memories * case.grid**2 + _pointer_tokens(config)


def _pointer_tokens(config: Config) -> int:
    return min(config.memory_bank.max_obj_ptrs_in_encoder, SAM2_POINTERS) * config.num_pointer_tokens


def needed_by_attention(config: Config, case: Case) -> int:
    """FLOPs of one layer's attention to the memories: logits, weighted sum and its projection."""
    tokens = case.grid**2, _memory_tokens(config, case)
    costs = step_costs(config, *tokens, fast=True, pointers=_pointer_tokens(config))
    return next(cost.flops for cost in costs if cost.step == "layers.0.cross_attn_image.attended")


def attention_alone(config: Config, case: Case, setting: Setting) -> Callable[[], Any]:
    """One layer's attention to the memories by itself, in the form and with the kernel of the fast path."""
    import torch

    from ..accelerated.attention import attend_in_memory_space, project_mean
    from ..accelerated.choice import choose_axial, choose_form
    from ..accelerated.kernels import axial_attention, scaled_dot_product_attention
    from ..accelerated.position import Places
    from ..accelerated.problem import Problem

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=setting.device, dtype=getattr(torch, setting.dtype))

    attention = config.memory_attention.layer.cross_attention
    heads, width, memory_dim = attention.num_heads, attention.head_dim, attention.key_dim
    queries, keys = case.grid**2, _memory_tokens(config, case)
    query, key, memory = draw(1, heads, queries, width), draw(1, heads, keys, width), draw(1, keys, memory_dim)
    sizes, grid = (1, heads, queries, keys, width, memory_dim), (case.grid, case.grid)
    problem = Problem(*sizes, query.dtype, query.device, grid)
    weight, bias = draw(heads * width, memory_dim), draw(heads * width)
    places = Places(*grid, case.memories, attention.rope_theta)
    if choose_axial(problem, places, setting.kernel):
        return lambda: project_mean(axial_attention(query, memory, memory, weight, bias, places), weight, bias)
    form = choose_form(problem, setting.kernel)
    if form.memory_space:
        return lambda: attend_in_memory_space(query, key, memory, weight, bias, form.kernel)
    value = draw(1, heads, keys, width)
    return lambda: scaled_dot_product_attention(query, key, value, kernel=form.kernel)


def matrix_side(setting: Setting) -> int:
    if setting.device.startswith("cuda"):
        return 8192
    # Many processors have no arithmetic in half precision.
    return 512 if setting.dtype in ("float16", "bfloat16") else 2048


def matrix_product(setting: Setting) -> Callable[[], Any]:
    import torch

    side = matrix_side(setting)
    left, right = (
        torch.randn(side, side, device=setting.device, dtype=getattr(torch, setting.dtype)) for _ in range(2)
    )
    return lambda: left @ right
