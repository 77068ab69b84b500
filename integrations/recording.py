"""Recording where chosen queries of a running module look, by hooks that are gone afterwards."""

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from ..accelerated import Attention, MemoryAttention
from ..recorder import Recorder, Told, Wishes, bytes_of_row
from ..recording import Recording, fingerprint_of
from .host_frames import Listener
from .rows import grid_of_queries, softmax_rows
from .swapping import places_of, plan_of
from .twins import twin_of


@contextmanager
def record_module(model: Any, wishes: Wishes) -> Iterator[Recording]:
    """`record` for a module of PyTorch that holds a memory attention, or is one of ours."""
    places = [(None, model)] if isinstance(model, MemoryAttention) else places_of(model, "record")
    if len({module for _, module in places}) > 1:
        raise ValueError(f"model holds {len(places)} memory attentions, expected one: record a part of the model")
    module: Any = places[0][1]
    said = {"model": type(model).__name__, "fingerprint": fingerprint_of(module)}
    recording = Recording(said)
    attention = _attentions(module)[0][1]
    pointer_tokens = max(1, attention.q_proj.in_features // attention.k_proj.in_features)
    recorder = Recorder(recording, wishes, len(module.layers), pointer_tokens)
    with ExitStack() as stack:
        holders = [holder for holder, _ in places if holder is not None]
        listeners = [stack.enter_context(Listener(holder).listening()) for holder in holders]
        stack.enter_context(recorded_by(module, recorder, listeners))
        yield recording


@contextmanager
def recorded_by(module: Any, recorder: Recorder, listeners: list[Listener] | None = None) -> Iterator[None]:
    """Let the recorder have the rows of a memory attention; afterwards no hook of ours is left."""

    def begin(called: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = list(inspect.signature(called.forward).bind(*args, **kwargs).arguments.values())
        curr, memory, pointers = given[0], given[1], next((x for x in given if isinstance(x, int)), 0)
        tokens = (curr[0] if isinstance(curr, list) else curr).shape[0]
        told = [each.told(tokens, memory, pointers, recorder.pointer_tokens) for each in listeners or ()]
        recorder.begin(next(filter(None, told), Told()))

    attentions = _attentions(module)
    with ExitStack() as stack:

        def hooked(handle: Any) -> None:
            stack.callback(handle.remove)

        hooked(module.register_forward_pre_hook(begin, with_kwargs=True))
        hooked(module.register_forward_hook(lambda *_: recorder.end()))
        for layer, (theirs, ours) in enumerate(attentions):
            hooked(theirs.register_forward_pre_hook(_hook(layer, ours, recorder), with_kwargs=True))
        yield


def _hook(layer: int, attention: Attention, recorder: Recorder) -> Any:
    def hook(theirs: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = inspect.signature(theirs.forward).bind(*args, **kwargs).arguments
        q, k = (given[name] if name in given else given[name[0]] for name in ("query", "key"))
        pointers = int(given.get("num_k_exclude_rope", 0))
        grid = grid_of_queries(attention, q.shape[-2], given.get("grid"))
        heads = attention.num_heads
        tokens = recorder.tokens(layer, grid, bytes_of_row((1, heads), (k.shape[:-2].numel(), heads, k.shape[-2])))
        if tokens is not None:
            chosen = torch.from_numpy(tokens).to(q.device)
            with torch.no_grad():
                rows = softmax_rows(attention, q, k, chosen, grid, pointers)
            recorder.keep(layer, rows.cpu().numpy(), pointers)

    return hook


def _attentions(module: Any) -> list[tuple[nn.Module, Attention]]:
    """Each cross-attention, and the one of ours that computes as it does, on the same weights.

    Raises `ValueError` for another network, and for one that is compiled, whose parts are never called.
    """
    parts = [module, *module.modules()]
    if any("forward" in vars(part) or vars(part).get("_compiled_call_impl") is not None for part in parts):
        raise ValueError("the model's memory_attention is compiled, or has another forward: record one without")
    ours = module if isinstance(module, MemoryAttention) else twin_of(module, plan_of(module))
    own = [layer.cross_attn_image for layer in ours.layers]  # type: ignore[union-attr]
    return list(zip((layer.cross_attn_image for layer in module.layers), own, strict=True))
