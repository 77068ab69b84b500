"""The grid comes from the image size; what contradicts it is an error that says so."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import memory_attention as ma
from memory_attention.configs import AttentionConfig, Config, LayerConfig, MemoryAttentionConfig

sides = st.integers(1, 40)


def document(side, stride, own, cross, target="RoPEAttention"):
    name = f"sam2.modeling.sam.transformer.{target}"
    layer = {
        "self_attention": {"feat_sizes": list(own)},
        "cross_attention": {"feat_sizes": list(cross), "_target_": name},
    }
    return {"image_size": side * stride, "backbone_stride": stride, "memory_attention": {"layer": layer}}


def load(text, folder):
    path = folder / "grid.yaml"
    path.write_text(json.dumps(text))
    return ma.load_config(path)


@given(side=sides, stride=st.sampled_from([8, 14, 16]), own=sides, cross=sides)
def test_square_feat_sizes_of_another_image_are_no_contradiction(side, stride, own, cross, tmp_path_factory):
    """SAM 2's own files say 32 × 32 at 1024 pixels, MedSAM2's at 384: its rotation follows the tokens."""
    folder = tmp_path_factory.getbasetemp()
    config = load(document(side, stride, (own, own), (cross, cross)), folder)
    assert config.grid == (side, side)
    assert config.memory_attention.layer.cross_attention.feat_sizes == (cross, cross)


@given(side=sides, width=sides, height=sides, which=st.sampled_from(["own", "cross"]))
def test_feat_sizes_that_are_no_square_contradict_a_square_image(side, width, height, which, tmp_path_factory):
    if width == height:
        height += 1
    sizes = {"own": (side, side), "cross": (side, side)} | {which: (width, height)}
    folder = tmp_path_factory.getbasetemp()
    with pytest.raises(ValueError, match=f"grid.yaml: .*{side} × {side}, but .*\\({width}, {height}\\)"):
        load(document(side, 16, **sizes), folder)
    if which == "cross":
        assert load(document(side, 16, **sizes, target="Attention"), folder).grid == (side, side)


def test_a_grid_that_is_not_asked_for_is_no_error(tmp_path):
    config = load({"memory_attention": {"layer": {"cross_attention": {"feat_sizes": [8, 3]}}}}, tmp_path)
    with pytest.raises(ValueError, match="64 × 64, but feat_sizes .* is \\(8, 3\\)"):
        _ = config.grid
    layer = LayerConfig(self_attention=AttentionConfig(feat_sizes=(3, 5)))
    with pytest.raises(ValueError, match=r"but feat_sizes .* is \(3, 5\)"):
        _ = Config(memory_attention=MemoryAttentionConfig(layer=layer)).grid


@given(side=st.integers(1, 80), stride=st.integers(2, 20), rest=st.integers(1, 19))
def test_an_image_that_is_no_whole_number_of_cells(side, stride, rest, tmp_path_factory):
    size = side * stride + 1 + rest % (stride - 1) if stride > 2 else 2 * side + 1
    text = {"image_size": size, "backbone_stride": stride, "memory_attention": {}}
    with pytest.raises(ValueError, match=f"image_size {size} is not divisible by backbone_stride {stride}"):
        load(text, tmp_path_factory.getbasetemp())
