"""What a benchmark compares: our paths, the textbook formula, the reference, and the network of `transformers`."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..checkpoints.names import WORDS
from ..configs import Config
from ..inputs import Inputs
from ..weights import PREFIX
from .cases import Case, Setting

CONTENDERS = {
    "fast": "the accelerated backend as it is",
    "plain": "the accelerated backend, values projected, PyTorch's own kernel",
    "textbook": "the accelerated backend with all N × M logits",
    "reference": "the NumPy reference",
    "transformers": "Hugging Face's Sam2VideoMemoryAttention with SDPA",
    "fast compiled": "fast through torch.compile",
    "transformers compiled": "transformers through torch.compile",
}
PEER = "transformers"

DOES_NOT_SHARE = ("plain", "textbook", PEER, "transformers compiled")
"""Contenders that are given one frame for each object, as there is no other way to call the peer."""


@dataclass
class Contender:
    """Something with the call of a memory attention, a bank that feeds it, and its own kind of arrays."""

    name: str
    attention: Callable[..., Any]
    bank: Any
    native: Callable[[np.ndarray], Any]
    to_numpy: Callable[[Any], np.ndarray]


def available(device: str, compiled: bool) -> list[str]:
    """The contenders that this machine has."""
    has_peer = importlib.util.find_spec("transformers") is not None
    peers = [PEER, "transformers compiled"] if has_peer else []
    ours = ["fast", "plain", "textbook", *(["reference"] if device == "cpu" else []), "fast compiled"]
    return [name for name in CONTENDERS if name in (*ours, *peers) and (compiled or "compiled" not in name)]


def build_contender(
    name: str, config: Config, weights: Mapping[str, np.ndarray], case: Case, setting: Setting
) -> Contender:
    """Build one of `CONTENDERS` with these weights for a case; the setting's kernel forces that of `fast`.

    Raises `ValueError` for a config that `transformers` cannot express.
    """
    if name == "reference":
        return _reference(config, weights, setting.dtype)
    import torch

    from ..accelerated import MemoryBank
    from ..backends.accelerated import TorchNetwork, compile_for, to_numpy

    torch_dtype, where = getattr(torch, setting.dtype), torch.device(setting.device)
    if name.startswith(PEER):
        module = build_peer(config, weights, (case.grid, case.grid)).to(where, torch_dtype)
        attention = _call_of_peer(compile_for(where, module) if "compiled" in name else module)
    else:
        network = TorchNetwork(config, weights, where, torch_dtype)
        if name.startswith("fast"):
            network.tune(setting.kernel, compiled="compiled" in name)
        else:
            network.module.use_kernel("pytorch" if name == "plain" else "textbook", memory_space=False)
        attention = network.call

    def native(array: np.ndarray) -> Any:
        return torch.from_numpy(array).to(where, torch_dtype)

    return Contender(name, attention, MemoryBank(config, weights).to(where), native, to_numpy)


def one_frame(contender: Contender, inputs: Inputs) -> Callable[[], Any]:
    """A call on one frame; those that share it between the objects are given it once."""
    once = inputs.curr[:, :1], inputs.curr_pos[:, :1] if inputs.curr_pos is not None else None
    objects = inputs.memory.shape[1]
    frame = [contender.native(np.ascontiguousarray(array)) for array in once if array is not None]
    if contender.name in DOES_NOT_SHARE:
        frame = [contender.native(np.repeat(array, objects, 1)) for array in once if array is not None]
    arguments = {
        "curr": frame[0],
        "memory": contender.native(inputs.memory),
        "curr_pos": frame[1],
        "memory_pos": contender.native(inputs.memory_pos) if inputs.memory_pos is not None else None,
        "num_obj_ptr_tokens": inputs.num_obj_ptr_tokens,
        "grid": inputs.grid,
    }
    return lambda: contender.attention(**arguments)


def _reference(config: Config, weights: Mapping[str, np.ndarray], dtype: str) -> Contender:
    from ..backends.reference import build
    from ..reference import MemoryBank

    network = build(config, weights, None, dtype)
    # NumPy has no bfloat16, to which the network rounds by itself.
    held = "float32" if dtype == "bfloat16" else dtype

    def attention(
        curr: Any, memory: Any, curr_pos: Any, memory_pos: Any, num_obj_ptr_tokens: int, grid: Any
    ) -> np.ndarray:
        return network(curr, memory, curr_pos, memory_pos, num_obj_ptr_tokens, grid, None)

    return Contender(
        "reference", attention, MemoryBank(config, weights), lambda array: array.astype(held), np.asarray
    )


def _call_of_peer(module: Any) -> Callable[..., Any]:
    def attention(
        curr: Any, memory: Any, curr_pos: Any, memory_pos: Any, num_obj_ptr_tokens: int, grid: Any
    ) -> Any:
        del grid  # It is in the module's config.
        objects = memory.shape[1]
        curr, curr_pos = curr.expand(-1, objects, -1), curr_pos.expand(-1, objects, -1)
        result = module(curr, memory, curr_pos, memory_pos, num_object_pointer_tokens=num_obj_ptr_tokens)
        # It returns [1,B,N,C].
        return result[0].transpose(0, 1)

    return attention


NAMES_OF_PEER = {ours: theirs for theirs, ours in WORDS.items()}


def build_peer(
    config: Config, weights: Mapping[str, np.ndarray], grid: tuple[int, int], kernel: str = "sdpa"
) -> Any:
    """`transformers`' memory attention with our weights, for frames of a grid; `kernel` is "sdpa" or "eager".

    Raises `ValueError` for a network that it cannot express.
    """
    import torch
    from transformers import Sam2VideoConfig
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoMemoryAttention

    network, layer = config.memory_attention, config.memory_attention.layer
    own, cross = layer.self_attention, layer.cross_attention
    fixed = {
        "pos_enc_at_input": network.pos_enc_at_input,
        "batch_first": network.batch_first,
        "pos_enc_at_attn": not layer.pos_enc_at_attn,
        "pos_enc_at_cross_attn_keys": layer.pos_enc_at_cross_attn_keys,
        "pos_enc_at_cross_attn_queries": not layer.pos_enc_at_cross_attn_queries,
        "activation": layer.activation in ("relu", "gelu"),
        "rotary attention": own.rotary and cross.rotary,
        "num_heads": own.num_heads == cross.num_heads,
        "downsample_rate": own.downsample_rate == cross.downsample_rate,
        "rope_theta": own.rope_theta == cross.rope_theta == 10000.0,
    }
    for setting, fits in fixed.items():
        if not fits:
            raise ValueError(f"transformers' memory attention knows no other {setting} than SAM 2's")
    height, width = grid
    theirs = Sam2VideoConfig(
        memory_attention_hidden_size=network.d_model,
        memory_attention_num_layers=network.num_layers,
        memory_attention_num_attention_heads=own.num_heads,
        memory_attention_downsample_rate=own.downsample_rate,
        memory_attention_feed_forward_hidden_size=layer.dim_feedforward,
        memory_attention_feed_forward_hidden_act=layer.activation,
        memory_attention_rope_feat_sizes=[width, height],
        memory_encoder_output_channels=network.memory_dim,
    )
    theirs._attn_implementation = kernel
    module = Sam2VideoMemoryAttention(theirs).eval()
    state = {}
    for name, weight in weights.items():
        if name.startswith(PREFIX):
            parts = [NAMES_OF_PEER.get(part, part) for part in name.removeprefix(PREFIX).split(".")]
            state[".".join(parts)] = torch.from_numpy(weight.copy())
    module.load_state_dict(state)
    return module
