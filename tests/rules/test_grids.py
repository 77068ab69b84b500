"""A grid that does not fit the tokens, and keys that do not fit the grid, are named."""

import numpy as np
import pytest

import memory_attention as ma
from memory_attention.inputs import draw_inputs

pytestmark = pytest.mark.usefixtures("unchecked_shapes")
GOOD = draw_inputs(ma.load_config("tiny"), memories=2, pointers=3, objects=2)


def changed(**changes):
    return GOOD._replace(**changes)


BAD = [
    (changed(grid=(3, 5)), ValueError, ["grid (3, 5) has 15 tokens", "expected 16"]),
    (changed(grid=(-4, -4)), ValueError, ["grid (-4, -4)"]),
    (
        changed(curr=GOOD.curr[:15], curr_pos=GOOD.curr_pos[:15], grid=None),
        ValueError,
        ["15 query tokens", "feat_sizes (4, 4)", "square", "grid (h, w)"],
    ),
    (
        changed(num_obj_ptr_tokens=5),
        ValueError,
        ["33 rotated keys", "multiple of the 16", "num_obj_ptr_tokens"],
    ),
    *(
        (changed(grid=bad), TypeError, [f"grid is {bad!r}", "pair of whole numbers"])
        for bad in (4, (4, 4, 1), "44", (None, 4), (4.0, 4.0))
    ),
]


@pytest.mark.parametrize(("inputs", "kind", "words"), BAD)
def test_grids_that_do_not_fit(inputs, kind, words, tiny_model):
    with pytest.raises(kind) as error:
        tiny_model(*inputs)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("package", ["reference", "accelerated"])
def test_keys_of_several_frames_need_rope_k_repeat(package):
    x, keys = np.ones((1, 4, 8), np.float32), np.ones((1, 8, 8), np.float32)
    if package == "accelerated":
        import torch

        x, keys = torch.from_numpy(x), torch.from_numpy(keys)
    attention = getattr(ma, package).RoPEAttention(embedding_dim=8, num_heads=1)
    with pytest.raises(ValueError, match="8 rotated keys for 4 query tokens need rope_k_repeat"):
        attention(x, keys, keys)


@pytest.mark.parametrize("package", ["reference", "accelerated"])
def test_feat_sizes_are_width_and_height(package):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 6, 8)).astype(np.float32)
    if package == "accelerated":
        import torch

        x = torch.from_numpy(x)
    attention = getattr(ma, package).RoPEAttention(embedding_dim=8, num_heads=1, feat_sizes=(3, 2))
    guessed, said, turned = (attention(x, x, x, grid=grid) for grid in (None, (2, 3), (3, 2)))
    assert (guessed == said).all()
    assert not (guessed == turned).all()
