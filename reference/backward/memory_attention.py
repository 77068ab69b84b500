"""Step 8, backwards: the last norm, and the layers from the last to the first."""

from typing import Any

import numpy as np

from ...rules.contract import check_inputs, unwrap_list
from ..memory_attention import Frame, Memory, MemoryAttention
from .layer import memory_attention_layer_backward, memory_attention_layer_forward
from .module import Cache, Gradients, total, under
from .norm import layer_norm_backward, layer_norm_forward


def memory_attention_forward(
    network: MemoryAttention,
    curr: Frame | list[Frame],
    memory: Memory,
    curr_pos: Frame | list[Frame] | None = None,
    memory_pos: Memory | None = None,
    num_obj_ptr_tokens: int = 0,
    grid: tuple[int, int] | None = None,
) -> tuple[Frame, Cache]:
    """What `MemoryAttention` gives for these inputs, and the cache; same shapes, dtypes and errors.

    A frame that all objects share (`curr` [N,1,C]) is taken once for each of them.
    """
    inputs = (unwrap_list(curr, "curr"), memory, unwrap_list(curr_pos, "curr_pos"), memory_pos)
    memory_dim = network.layers[0].cross_attn_image.k_proj.weight.shape[1]
    check_inputs(*inputs, num_obj_ptr_tokens, network.d_model, memory_dim, batch_first=not network.batch_first)
    x, keys, query_pos, pos = (_arrange(network, tokens) for tokens in inputs)
    is_shared = len(x) < len(keys)
    x, query_pos = (_for_each(tokens, len(keys)) for tokens in (x, query_pos))
    adds_query_pos = network.pos_enc_at_input and query_pos is not None
    if adds_query_pos:
        x = x + 0.1 * query_pos
    layer_caches = []
    for layer in network.layers:
        x, cache = memory_attention_layer_forward(layer, x, keys, pos, query_pos, num_obj_ptr_tokens, grid)
        layer_caches.append(cache)
    x, norm_cache = layer_norm_forward(x, network.norm.weight, network.norm.bias)
    out = _arrange(network, x).astype(inputs[0].dtype)
    return out, (network, adds_query_pos, is_shared, layer_caches, norm_cache, out.shape)


def memory_attention_backward(
    d_out: Frame, cache: Cache
) -> tuple[Frame, Memory, Frame | None, Memory | None, Gradients]:
    """The gradients by curr, memory, curr_pos and memory_pos, and by every parameter under SAM 2's name.

    The layers backwards. Every layer looks at the same memory and adds the same positions, so their
    gradients add up over the layers; curr_pos is in the input too, a tenth of it. What the objects say about a
    frame that they share adds up. A position that nothing depends on has no gradient (none).
    Raises `ValueError` unless `d_out` has the shape of the output.
    """
    network, adds_query_pos, is_shared, layer_caches, norm_cache, shape = cache
    if d_out.shape != shape:
        raise ValueError(f"d_out has shape {d_out.shape}, expected that of the output, {shape}")
    d_x, norm_gradients = layer_norm_backward(_arrange(network, d_out), norm_cache)
    gradients = under("norm", norm_gradients)
    d_memory = d_pos = d_query_pos = None
    for index, layer_cache in reversed(list(enumerate(layer_caches))):
        d_x, d_keys, d_key_pos, d_tgt_pos, layer_gradients = memory_attention_layer_backward(d_x, layer_cache)
        d_memory, d_pos = total(d_memory, d_keys), total(d_pos, d_key_pos)
        d_query_pos = total(d_query_pos, d_tgt_pos)
        gradients |= under(f"layers.{index}", layer_gradients)
    if adds_query_pos:
        d_query_pos = total(d_query_pos, 0.1 * d_x)
    if is_shared:
        d_x, d_query_pos = (_of_all(gradient) for gradient in (d_x, d_query_pos))
    d_inputs = (_arrange(network, gradient) for gradient in (d_x, d_memory, d_query_pos, d_pos))
    return *d_inputs, gradients


def _arrange(network: MemoryAttention, tokens: Any) -> Any:
    """Tokens as the layers take them, batch-first and in float32 or better; or back as they came."""
    if tokens is None:
        return None
    tokens = tokens.astype(np.promote_types(tokens.dtype, np.float32))
    return tokens.swapaxes(0, 1) if network.batch_first else tokens


def _for_each(tokens: Any, objects: int) -> Any:
    """The frame of each object, where one may be that of all."""
    return None if tokens is None else np.broadcast_to(tokens, (objects, *tokens.shape[1:]))


def _of_all(gradient: Any) -> Any:
    """The gradient by what all objects share."""
    return None if gradient is None else gradient.sum(axis=0, keepdims=True)
