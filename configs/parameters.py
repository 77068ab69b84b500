"""The parameters of the memory bank, by SAM 2's names."""

from collections.abc import Mapping
from typing import Any

from .schema import Config


def bank_parameter_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Every parameter of the memory bank that `config` asks for, with its shape.

    Source: the constructor of SAM 2's `SAM2Base`.
    """
    bank = config.memory_bank
    d_model, memory_dim = config.memory_attention.d_model, config.memory_attention.memory_dim
    shapes: dict[str, tuple[int, ...]] = {
        "maskmem_tpos_enc": (bank.num_maskmem, 1, 1, memory_dim),
        "no_mem_embed": (1, 1, d_model),
        "no_mem_pos_enc": (1, 1, d_model),
    }
    if bank.no_obj_embed_spatial:
        shapes["no_obj_embed_spatial"] = (1, memory_dim)
    if bank.proj_tpos_enc_in_obj_ptrs:
        shapes["obj_ptr_tpos_proj.weight"] = (memory_dim, d_model)
        shapes["obj_ptr_tpos_proj.bias"] = (memory_dim,)
    return shapes


def bank_parameters(parameters: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """The bank's own among `parameters`, which may be those of a whole model.

    Raises `ValueError`, naming the parameter, for one that is missing or of another shape.
    """
    own = {}
    for name, shape in bank_parameter_shapes(config).items():
        if name not in parameters:
            raise ValueError(f"missing parameter {name}, expected an array of shape {shape}")
        if tuple(parameters[name].shape) != shape:
            raise ValueError(f"{name} has shape {tuple(parameters[name].shape)}, expected {shape}")
        own[name] = parameters[name]
    return own
