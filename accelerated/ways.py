"""Which way a call takes: each step asks here once, and is its formula and the answer.

The fast ways give the same numbers. Who would see them at work (gradients, a tracer, a hook, somebody who
listens to the steps) gets the plain way: PyTorch's kernel, nothing written in place, all tokens at once.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..rules.record import Record, unrecorded
from .choice import PLAIN, choose_axial, choose_form
from .norm import LayerNorm
from .position import Places
from .problem import Form, Problem
from .tracing import is_derived_forwards, is_hooked, is_plain_linear, is_traced, refuse_torchscripts_export

OURS = f"{__package__}.attention"


def queries_go_to_memory_space(
    attention: nn.Module,
    query: Float[Tensor, "#B H N d"],
    k: Float[Tensor, "B M K"],
    v: Float[Tensor, "B M K"],
    places: Places | None,
    record: Record,
) -> bool:
    """Whether keys need not be projected: for inference, where nobody would miss keys or values.

    A subclass may encode places in its own way. Objects that do not fit together are for PyTorch to refuse.
    """
    if attention.training or record is not unrecorded or is_traced(query, k, v):
        return False
    if type(attention)._encode.__module__ != OURS:
        return False
    if len(query) not in (1, len(k)):
        return False
    projections = attention.k_proj, attention.v_proj
    if not all(map(is_plain_linear, projections)):
        return False
    if _learns(query, k, v, *(parameter for each in projections for parameter in each.parameters())):
        return False
    return choose_axial(_problem(query, v, places), places, attention.kernel, attention.memory_space)


def way_of_attention(
    attention: nn.Module,
    query: Float[Tensor, "#B H N d"],
    key: Float[Tensor, "B H M d"],
    memory: Float[Tensor, "B M K"],
    record: Record,
    places: Places | None,
) -> Form:
    """Where values stay, the kernel, and whether keys are rotated where they lie.

    In training and for gradients the plain way. A `kernel` that is forced holds at inference; values are
    projected where somebody listens or hooks `v_proj`; keys keep still where somebody else may hold them.
    Raises `RuntimeError` where a rotation would be exported wrong.
    """
    if attention.rotary:
        refuse_torchscripts_export()
    if is_derived_forwards():
        return Form(False, attention.kernel or "math")
    if attention.training or _learns(query, key, memory, *attention.v_proj.parameters()):
        return PLAIN
    traced, unheard = is_traced(query, key), record is unrecorded
    memory_space = attention.memory_space if unheard and is_plain_linear(attention.v_proj) else False
    form = choose_form(_problem(query, memory, places), attention.kernel, memory_space, traced)
    unheld = unheard and not traced and is_plain_linear(attention.k_proj) and not is_hooked()
    return form._replace(in_place=unheld and key.dtype == torch.promote_types(query.dtype, torch.float32))


def _problem(query: Float[Tensor, "#B H N d"], memory: Float[Tensor, "B M K"], places: Places | None) -> Problem:
    (batch, num_keys, memory_dim), (heads, num_queries, head_dim) = memory.shape, query.shape[1:]
    sizes = (batch, heads, num_queries, num_keys, head_dim, memory_dim)
    return Problem(*sizes, query.dtype, query.device, (places.height, places.width) if places else None)


def tokens_at_once(
    x: Float[Tensor, "B N C"],
    most: int,
    norm: nn.Module,
    linear1: nn.Module,
    dropout: nn.Module,
    linear2: nn.Module,
    record: Record,
) -> int | None:
    """How many tokens pass the feed-forward at once: on CPUs at inference `most`, else all of them (none)."""
    # A trace would keep what it is asked of the sizes, so it is not asked.
    if torch.is_grad_enabled() or is_traced(x) or x.device.type != "cpu" or x.shape[0] * x.shape[1] <= most:
        return None
    plain = is_plain_linear(linear1) and is_plain_linear(linear2) and type(norm) is LayerNorm
    return most if plain and record is unrecorded and not is_hooked(norm, dropout) else None


def frames_at_first(
    may_share: bool, objects: int, x: Float[Tensor, "#B N C"], query_pos: Float[Tensor, "#B N C"] | None
) -> int:
    """How many frames the first layer computes: one for all objects where they share it, else one for each.

    The objects share a frame that is given once, or expanded from one as SAM 2 does it.
    """
    if not may_share:
        return objects
    # A trace does not look at strides again.
    expanded = not is_traced(x) and all(frame is None or frame.stride(0) == 0 for frame in (x, query_pos))
    return 1 if expanded else x.shape[0]


def _learns(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
