"""An implementation by others, Hugging Face's, gives the same numbers with the same weights."""

import memory_attention as ma
import numpy as np
import pytest
import torch
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound
from memory_attention.weights import PREFIX

transformers = pytest.importorskip("transformers", reason="the oracle is an optional dependency")


def hugging_face(grid, weights):
    """Their memory attention with our weights under their names, in float32."""
    from transformers import Sam2VideoConfig
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoMemoryAttention

    height, width = grid
    theirs = Sam2VideoConfig(memory_attention_rope_feat_sizes=[width, height])
    theirs._attn_implementation = "eager"
    network = Sam2VideoMemoryAttention(theirs).eval()
    names = {"out_proj": "o_proj", "norm1": "layer_norm1", "norm2": "layer_norm2", "norm3": "layer_norm3"}
    state = {}
    for name, weight in weights.items():
        if name.startswith(PREFIX):
            parts = [names.get(part, part) for part in name.removeprefix(PREFIX).split(".")]
            parts[0] = {"norm": "layer_norm"}.get(parts[0], parts[0])
            state[".".join(parts)] = torch.from_numpy(weight)
    network.load_state_dict(state)
    return network


@pytest.mark.parametrize("grid", [(6, 6), (5, 7), (7, 4)])
@pytest.mark.parametrize("memories", [1, 3])
@pytest.mark.parametrize("pointers", [0, 2])
def test_the_same_numbers(grid, memories, pointers, backend, device):
    config = ma.load_config("sam2.1_hiera_t")
    inputs = draw_inputs(config, memories=memories, pointers=pointers, grid=grid)
    model = ma.load(config, backend, device=None if backend == "reference" else device)
    network = hugging_face(grid, model.weights)
    with torch.no_grad():
        arrays = [torch.from_numpy(array) for array in inputs[:4]]
        expected = network(*arrays, num_object_pointer_tokens=inputs.num_obj_ptr_tokens)
    expected = expected.squeeze(1).numpy() if expected.ndim == 4 else expected.numpy()
    result = model(*inputs)
    assert np.abs(result - expected.reshape(result.shape)).max() <= bound("float32", 20) * np.abs(expected).max()
