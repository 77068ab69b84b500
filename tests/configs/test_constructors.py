"""What a whole model leaves out is what SAM 2's own constructors would take, and what they need is asked for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import memory_attention as ma
from memory_attention.configs import constructors

# The defaults in the signatures of SAM 2's constructors, each with another value that a file may give.
MODEL = {
    "image_size": (512, 768),
    "backbone_stride": (16, 32),
    "num_maskmem": (7, 5),
    "max_cond_frames_in_attn": (-1, 3),
    "memory_temporal_stride_for_eval": (1, 2),
    "directly_add_no_mem_embed": (False, True),
    "use_obj_ptrs_in_encoder": (False, True),
    "max_obj_ptrs_in_encoder": (16, 9),
    "add_tpos_enc_to_obj_ptrs": (True, False),
    "proj_tpos_enc_in_obj_ptrs": (False, True),
    "use_signed_tpos_enc_to_obj_ptrs": (False, True),
    "only_obj_ptrs_in_the_past_for_eval": (False, True),
    "no_obj_embed_spatial": (False, True),
}
NETWORK = {"batch_first": (True, False)}
ATTENTION = {
    "downsample_rate": (1, 2),
    "dropout": (0.0, 0.25),
    "kv_in_dim": (None, 32),
    "rope_theta": (10000.0, 50.0),
    "rope_k_repeat": (False, True),
    "feat_sizes": ([64, 64], [24, 24]),
}
SHIPPED = ma.load_config("sam2_hiera_t")


def whole_model(model, network, self_attention, cross_attention):
    """A whole model in which, beside what is given, only what SAM 2's constructors need is said."""
    needed = {"embedding_dim": 96, "num_heads": 3}
    layer = {
        "activation": "gelu",
        "d_model": 96,
        "dim_feedforward": 80,
        "dropout": 0.5,
        "pos_enc_at_attn": True,
        "pos_enc_at_cross_attn_keys": False,
        "pos_enc_at_cross_attn_queries": True,
        "self_attention": needed | self_attention,
        "cross_attention": needed | cross_attention,
    }
    node = {"d_model": 96, "pos_enc_at_input": False, "num_layers": 3, "layer": layer, **network}
    return {"_target_": "sam2.modeling.sam2_base.SAM2Base", "memory_attention": node, **model}


def given_of(table):
    return st.sets(st.sampled_from(sorted(table))).map(lambda keys: {key: table[key][1] for key in sorted(keys)})


def expected(table, given):
    return {key: given.get(key, default) for key, (default, _) in table.items()}


def load(document, folder):
    path = folder / "whole.yaml"
    path.write_text(json.dumps(document))
    return ma.load_config(path)


def said(node, table):
    return {key: list(value) if isinstance(value := getattr(node, key), tuple) else value for key in table}


@given(
    model=given_of(MODEL),
    network=given_of(NETWORK),
    own=given_of(ATTENTION),
    cross=given_of(ATTENTION),
    data=st.data(),
)
def test_left_out_keys_are_what_the_constructors_take(model, network, own, cross, data, tmp_path_factory):
    own.pop("kv_in_dim", None)
    document = whole_model(model, network, own, cross)
    wrap = data.draw(st.sampled_from(["model", "trainer", "top"]))
    document = {"top": document, "model": {"model": document}, "trainer": {"trainer": {"model": document}}}[wrap]
    config = load(document, tmp_path_factory.getbasetemp())
    bank = {key: value for key, value in MODEL.items() if key not in ("image_size", "backbone_stride")}
    layer = config.memory_attention.layer
    assert said(config, ("image_size", "backbone_stride")) | said(config.memory_bank, bank) == expected(
        MODEL, model
    )
    assert said(config.memory_attention, NETWORK) == expected(NETWORK, network)
    assert said(layer.self_attention, ATTENTION) == expected(ATTENTION, own)
    assert said(layer.cross_attention, ATTENTION) == expected(ATTENTION, cross)
    assert (layer.activation, layer.dim_feedforward, layer.dropout) == ("gelu", 80, 0.5)
    flags = (layer.pos_enc_at_attn, layer.pos_enc_at_cross_attn_keys, layer.pos_enc_at_cross_attn_queries)
    assert (flags, config.memory_attention.num_layers) == ((True, False, True), 3)


@pytest.mark.parametrize(
    ("target", "encoder", "whole"),
    [
        ("sam2.modeling.sam2_base.SAM2Base", False, True),
        ("sam2_train.modeling.sam2_base.SAM2Base", False, True),
        ("training.model.sam2.SAM2Train", False, True),
        ("sam2.sam2_video_predictor.SAM2VideoPredictor", False, True),
        ("sam2.sam2_video_predictor.SAM2VideoPredictorVOS", False, True),
        ("efficient_track_anything.modeling.efficienttam_base.EfficientTAMBase", False, True),
        ("training.model.efficienttam.EfficientTAMTrain", False, True),
        (None, True, True),
        ("mine.Model", True, True),
        (None, False, False),
        ("mine.Model", False, False),
    ],
)
def test_what_a_whole_model_is(target, encoder, whole, tmp_path):
    model = {"memory_attention": {}} | ({"image_encoder": {}} if encoder else {})
    config = load({"model": model | ({"_target_": target} if target else {})}, tmp_path)
    assert (config.image_size, config.memory_bank.use_obj_ptrs_in_encoder) == (
        (512, False) if whole else (1024, True)
    )


def test_a_node_that_says_nothing_is_the_shipped_one(tmp_path):
    node = {"_target_": "sam2.modeling.memory_attention.MemoryAttention"}
    document = {"model": {"image_encoder": {}, "memory_attention": node}}
    assert load(document, tmp_path).memory_attention == SHIPPED.memory_attention


def nodes(document):
    network = document["memory_attention"]
    layer = network["layer"]
    return {
        "memory_attention": ("MemoryAttention", network),
        "memory_attention.layer": ("MemoryAttentionLayer", layer),
        "memory_attention.layer.self_attention": ("RoPEAttention", layer["self_attention"]),
        "memory_attention.layer.cross_attention": ("RoPEAttention", layer["cross_attention"]),
    }


def test_what_the_constructors_need_is_asked_for(tmp_path):
    asked = 0
    for where, (name, node) in nodes(whole_model({}, {}, {}, {})).items():
        assert set(constructors.REQUIRED[name]) == set(node)
        for key in node:
            document = whole_model({}, {}, {}, {})
            del nodes(document)[where][1][key]
            with pytest.raises(ValueError, match=f"{where}.{key} is missing, and SAM 2's {name} has no default"):
                load(document, tmp_path)
            asked += 1
    assert asked == 17
