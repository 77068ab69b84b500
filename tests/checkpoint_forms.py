"""The forms of a checkpoint: the names of SAM 2, of SAM 3 and of Hugging Face's models, and their files."""

import io
import json
import re

import numpy as np
import torch
from safetensors.torch import save_file

import memory_attention as ma
from cases import random_weights
from memory_attention.configs import bank_parameter_shapes

HUGGING_FACE_BANK = {
    "maskmem_tpos_enc": "memory_temporal_positional_encoding",
    "no_mem_embed": "no_memory_embedding",
    "no_mem_pos_enc": "no_memory_positional_encoding",
    "no_obj_embed_spatial": "occlusion_spatial_embedding_parameter",
    "obj_ptr_tpos_proj.weight": "temporal_positional_encoding_projection_layer.weight",
    "obj_ptr_tpos_proj.bias": "temporal_positional_encoding_projection_layer.bias",
}


def hugging_face(name):
    """The name in `Sam2VideoModel`, for SAM 2's."""
    if name in HUGGING_FACE_BANK:
        return HUGGING_FACE_BANK[name]
    name = name.replace("out_proj", "o_proj")
    return re.sub(r"\.norm([123]?)\.", r".layer_norm\1.", name)


def sam3(name):
    """The name in SAM 3's own tracker, for SAM 2's."""
    return name.replace("memory_attention.", "transformer.encoder.")


def bare(name):
    """The name in a memory attention that was saved alone."""
    return name.removeprefix("memory_attention.")


NAMINGS = {"SAM 2": str, "bare": bare, "SAM 3": sam3, "Hugging Face": hugging_face}

# Names beside a memory attention that look like its own: mask decoders, and SAM 3's detector.
NEIGHBOURS = {
    "SAM 2": ("sam_mask_decoder.transformer.layers.0.self_attn.q_proj.weight", "image_encoder.trunk.norm.weight"),
    "bare": ("obj_ptr_proj.layers.0.weight", "memory_encoder.fuser.layers.0.norm.weight"),
    "SAM 3": (
        "sam_mask_decoder.transformer.layers.1.norm1.bias",
        "transformer_decoder.layers.0.self_attn.q_proj.bias",
    ),
    "Hugging Face": (
        "mask_decoder.transformer.layers.0.self_attn.o_proj.weight",
        "vision_encoder.layer_norm.weight",
    ),
}

SAM3_DETECTOR = (
    "detector.transformer.encoder.layers.0.self_attn.out_proj.weight",
    "detector.transformer.encoder.layers.0.cross_attn_image.in_proj_weight",
    "detector.transformer.encoder.layers.0.cross_attn_image.out_proj.weight",
    "detector.transformer.encoder.layers.0.norm1.weight",
    "detector_model.detr_encoder.layers.0.cross_attn.q_proj.weight",
)


def all_weights(config, seed=5):
    """Float32 weights of the memory attention and the bank, in which no two are alike."""
    rng = np.random.default_rng(seed)
    bank = {name: rng.standard_normal(shape) for name, shape in bank_parameter_shapes(config).items()}
    return {name: weight.astype(np.float32) for name, weight in (random_weights(config, rng) | bank).items()}


WRITERS = {
    "zip": lambda tensors, path: torch.save(tensors, path),
    "legacy": lambda tensors, path: torch.save(tensors, path, _use_new_zipfile_serialization=False),
    "safetensors": lambda tensors, path: save_file(tensors, path),
    "npz": lambda tensors, path: path.write_bytes(npz(np.savez, tensors)),
    "packed npz": lambda tensors, path: path.write_bytes(npz(np.savez_compressed, tensors)),
}


def npz(save, tensors):
    held = io.BytesIO()
    save(held, **{name: tensor.numpy() for name, tensor in tensors.items()})
    return held.getvalue()


def check_one_clear_line(error):
    """The word of a refusal: short, printable, and without another program's advice."""
    message = str(error.value)
    assert message.isprintable()
    assert len(message) <= 400
    for advice in ("weights_only", "safe_globals", "http", "arbitrary"):
        assert advice not in message


def write_shards(folder, tensors, count, suffix=".safetensors"):
    """Hugging Face's form: the tensors over so many files, and an index of them."""
    places = {}
    for number in range(count):
        file = f"model-{number + 1:05}-of-{count:05}{suffix}"
        own = dict(list(tensors.items())[number::count])
        save_file(own, folder / file) if suffix == ".safetensors" else torch.save(own, folder / file)
        places |= dict.fromkeys(own, file)
    index = folder / f"model{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 3}, "weight_map": places}))
    return index


CONFIG = ma.load_config("tiny")
WEIGHTS = all_weights(CONFIG)
TENSORS = {name: torch.from_numpy(weight.copy()) for name, weight in WEIGHTS.items()}
NAME = "memory_attention.layers.0.linear1.weight"


def same(read, expected):
    """The same arrays under the same names."""
    assert read.keys() == expected.keys()
    for name, weight in expected.items():
        np.testing.assert_array_equal(read[name], weight, err_msg=name)
