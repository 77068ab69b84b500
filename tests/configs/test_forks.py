"""What names the same network loads, whatever package it names; another network or memory is refused by name."""

import copy
import json
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import memory_attention as ma
from memory_attention.configs.forks import CHANGES_WHAT_IS_REMEMBERED
from memory_attention.configs.loader import FOLDER

TINY = ma.load_config("tiny")
CLASSES = {
    ("memory_attention",): "modeling.memory_attention.MemoryAttention",
    ("memory_attention", "layer"): "modeling.memory_attention.MemoryAttentionLayer",
    ("memory_attention", "layer", "self_attention"): "modeling.sam.transformer.RoPEAttention",
    ("memory_attention", "layer", "cross_attention"): "modeling.sam.transformer.RoPEAttention",
}
packages = st.from_regex(r"[a-z_][a-z0-9_]{0,8}(\.[a-zA-Z_][a-z0-9_]{0,8}){0,3}", fullmatch=True)


MODEL = yaml.safe_load((FOLDER / "tiny.yaml").read_text())["model"]


def tiny_model():
    return copy.deepcopy(MODEL)


def node_at(model, place):
    for key in place:
        model = model[key]
    return model


def load(model, folder):
    path = folder / "tiny.yaml"
    path.write_text(json.dumps({"model": model}))
    return ma.load_config(path)


@given(package=packages)
def test_any_package_before_the_name(package, tmp_path_factory):
    model = tiny_model()
    for place, name in CLASSES.items():
        node_at(model, place)["_target_"] = f"{package}.{name}"
    assert load(model, tmp_path_factory.getbasetemp()) == TINY


@pytest.mark.parametrize("package", ["memory_attention.reference", "memory_attention.accelerated"])
def test_our_own_classes(package, tmp_path):
    model = tiny_model()
    for place, name in CLASSES.items():
        node_at(model, place)["_target_"] = f"{package}.{name.rpartition('.')[2]}"
    assert load(model, tmp_path) == TINY


def test_attention_without_rotation(tmp_path):
    model = tiny_model()
    for name, rotary in (("Attention", False), ("RoPEAttention", True)):
        node = node_at(model, ("memory_attention", "layer", "cross_attention"))
        node["_target_"] = f"sam2_train.modeling.sam.transformer.{name}"
        assert load(model, tmp_path).memory_attention.layer.cross_attention.rotary is rotary


@given(
    place=st.sampled_from(sorted(CLASSES)),
    change=st.sampled_from(
        [
            lambda module, name: f"{module}.{name}v2",
            lambda module, name: f"{module}.Efficient{name}1",
            lambda module, name: f"{module}x.{name}",
            lambda module, name: f"sam2.x{module.removeprefix('sam2.')}.{name}",
            lambda module, name: f"{module}.{name}.forward",
            lambda module, name: f"{module}.{name.lower()}",
            lambda module, name: f"memory_attention.tracker.{name}",
            lambda module, name: name,
            lambda module, name: "os.system",
            lambda module, name: ["sam2", name],
            lambda module, name: 3,
        ]
    ),
)
def test_a_class_of_another_name_is_another_network(place, change, tmp_path_factory):
    module, _, name = f"sam2.{CLASSES[place]}".rpartition(".")
    model = tiny_model()
    node_at(model, place)["_target_"] = change(module, name)
    with pytest.raises(ValueError, match="_target_ is .*, which is not built here") as error:
        load(model, tmp_path_factory.getbasetemp())
    assert f"{'.'.join(place)}._target_ is {change(module, name)!r}" in str(error.value)
    assert f"….{CLASSES[place]}" in str(error.value)


def test_a_layer_is_no_memory_attention(tmp_path):
    model = tiny_model()
    model["memory_attention"]["_target_"] = "sam2.modeling.memory_attention.MemoryAttentionLayer"
    with pytest.raises(ValueError, match="not built here"):
        load(model, tmp_path)


def test_no_target_is_imported(tmp_path, monkeypatch):
    package = tmp_path / "evil_package" / "modeling"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    model = tiny_model()
    model["_target_"] = "evil_package.modeling.sam2_base.SAM2Base"
    model["memory_attention"]["_target_"] = "evil_package.modeling.memory_attention.MemoryAttention"
    assert load(model, tmp_path) == TINY
    assert "evil_package" not in sys.modules


@given(
    key=st.sampled_from(sorted(CHANGES_WHAT_IS_REMEMBERED - set(type(TINY.memory_bank).model_fields))),
    on=st.sampled_from([True, 1, 0.5, "yes", {"depth": 2}, [1]]),
    off=st.sampled_from([False, None, 0, 0.0]),
)
def test_what_changes_the_memories_is_refused_unless_it_is_off(key, on, off, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    assert load(tiny_model() | {key: off}, folder) == TINY
    with pytest.raises(ValueError, match=f"tiny.yaml: model.{key} is .*changes what a frame remembers"):
        load(tiny_model() | {key: on}, folder)
    with pytest.raises(ValueError, match=f"model.{key} is"):
        load(tiny_model() | {key: "${model.num_maskmem}"}, folder)


def test_the_keys_of_the_design_are_known_or_refused():
    known = CHANGES_WHAT_IS_REMEMBERED | set(type(TINY.memory_bank).model_fields)
    assert {"samurai_mode", "use_memory_selection", "spatial_perceiver", "keep_first_cond_frame"} <= known


def test_what_goes_with_a_selection_that_is_off_is_passed_over(tmp_path):
    off = {"samurai_mode": False, "stable_frames_threshold": 15, "kf_score_weight": 0.25}
    assert load(tiny_model() | off | {"memory_bank_iou_threshold": 0.5}, tmp_path) == TINY
