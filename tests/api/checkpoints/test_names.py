"""Whatever stands around and before the names, the memory attention and its bank are found, or asked about."""

import random
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memory_attention as ma
from checkpoint_forms import HUGGING_FACE_BANK, NAMINGS, NEIGHBOURS, SAM3_DETECTOR, all_weights, bare, hugging_face
from memory_attention.configs import bank_parameter_shapes
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound

TINY = ma.load_config("tiny")
CONFIG = TINY.model_copy(update={"memory_attention": TINY.memory_attention.model_copy(update={"num_layers": 3})})
OLDER = CONFIG.model_copy(
    update={
        "memory_bank": CONFIG.memory_bank.model_copy(
            update={"no_obj_embed_spatial": False, "proj_tpos_enc_in_obj_ptrs": False}
        )
    }
)
WEIGHTS = all_weights(CONFIG)
ATTENTION = {name: weight for name, weight in WEIGHTS.items() if name.startswith("memory_attention.")}

words = st.sampled_from(
    ["module", "_orig_mod", "model", "sam", "sam2", "tracker", "tracker_model", "net", "0", "_fsdp_wrapped_module"]
) | st.from_regex(r"[a-z_]{1,9}", fullmatch=True)
keys = st.sampled_from(["model", "state_dict", "model_state_dict", "ema", "module", "shadow", "net"]) | words
EXTRAS = {
    "epoch": 3,
    "optimizer": {"state": {0: {"exp_avg": np.ones((3, 2))}}, "param_groups": [{"lr": 1e-4, "params": [0, 1]}]},
    "optim": {"state": {name: {"exp_avg": weight} for name, weight in ATTENTION.items()}},
    "hyper_parameters": {"layers": 3, "name": "sam2"},
    "loss": {"conv": [1.0, 0.5]},
    "scaler": None,
    "n_averaged": np.array(7),
    "callbacks": {},
}


def same(read, expected):
    assert read.keys() == expected.keys()
    for name, weight in expected.items():
        np.testing.assert_array_equal(read[name], weight, err_msg=name)


recipes = st.fixed_dictionaries(
    {
        "naming": st.sampled_from(list(NAMINGS)),
        "prefix": st.lists(words, max_size=3),
        "wrappers": st.lists(keys, max_size=3),
        "beside": st.lists(st.sampled_from(list(EXTRAS)), max_size=3),
        "detector": st.booleans(),
        "order": st.integers(0, 99),
    }
)


def build(recipe, weights):
    """A checkpoint in somebody's form; of a whole model, where the bank's parameters are among the weights."""
    prefix = "".join(f"{word}." for word in recipe["prefix"])
    names = [(prefix + NAMINGS[recipe["naming"]](name), weight) for name, weight in weights.items()]
    if weights.keys() - ATTENTION.keys():
        others = NEIGHBOURS[recipe["naming"]] + (SAM3_DETECTOR if recipe["detector"] else ())
        names += [(prefix + name, np.zeros((2, 3))) for name in others]
    random.Random(recipe["order"]).shuffle(names)
    checkpoint = OrderedDict(names)
    for key in reversed(recipe["wrappers"]):
        checkpoint = {name: EXTRAS[name] for name in recipe["beside"]} | {key: checkpoint}
    return checkpoint


@given(recipes, st.booleans())
def test_any_wrapper_and_any_prefix_is_taken_off(recipe, whole):
    held = WEIGHTS if whole else ATTENTION
    same(ma.read_weights(build(recipe, held), CONFIG), held)


@given(recipes, st.sampled_from(sorted(WEIGHTS)))
def test_what_a_whole_model_lacks_is_named(recipe, name):
    """Of the memory attention and of the bank: it is never passed over."""
    rest = {other: weight for other, weight in WEIGHTS.items() if other != name}
    with pytest.raises(ValueError, match=f"missing parameter {re.escape(name)} for config 'tiny'"):
        ma.read_weights(build(recipe, rest), CONFIG)


@pytest.mark.parametrize("other", ["image_encoder.trunk.weight", "module.memory_encoder.weight"])
def test_a_model_that_lacks_the_whole_bank_is_refused(other):
    """A whole model is known by any other module too; what counts steps is none."""
    same(ma.read_weights(ATTENTION | {"n_averaged": np.array(3)}, CONFIG), ATTENTION)
    with pytest.raises(ValueError, match="missing parameter maskmem_tpos_enc and 5 more"):
        ma.read_weights(ATTENTION | {other: np.ones(2)}, CONFIG)


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_a_wrapper_around_a_part_is_taken_off(wrapper):
    """`model.memory_attention = torch.compile(model.memory_attention)`, and layers that are wrapped alone."""
    for place in ("memory_attention.", "memory_attention.layers.1.", "memory_attention.layers.2.self_attn."):
        renamed = {name.replace(place, f"{place}{wrapper}."): weight for name, weight in WEIGHTS.items()}
        assert renamed.keys() != WEIGHTS.keys()
        same(ma.read_weights(renamed, CONFIG), WEIGHTS)


@pytest.mark.parametrize("name", ["mem_attn.", "core.attention.module.", "a.layers.7."])
def test_a_memory_attention_by_another_name_is_found_with_its_bank(name):
    renamed = {f"net.{key.replace('memory_attention.', name)}": weight for key, weight in WEIGHTS.items()}
    same(ma.read_weights(renamed, CONFIG), WEIGHTS)


OTHER = {name: weight + 1 for name, weight in WEIGHTS.items()}


@pytest.mark.parametrize(
    ("checkpoint", "offered", "first", "second"),
    [
        ({"model": WEIGHTS, "ema": OTHER}, "'model', 'ema'", "model", "ema"),
        (
            {"model": WEIGHTS, "ema": {"module": OTHER, "decay": 0.9}, "epoch": 1},
            "'model', 'ema'",
            "model",
            "ema.module",
        ),
        (
            {f"student.{n}": w for n, w in WEIGHTS.items()} | {f"teacher.{n}": w for n, w in OTHER.items()},
            "'student', 'teacher'",
            "student",
            "teacher",
        ),
        (
            {**WEIGHTS, "ema": {hugging_face(n): w for n, w in OTHER.items()}},
            "'memory_attention', 'ema'",
            "memory_attention",
            "ema.memory_attention",
        ),
        (
            {
                "state_dict": {
                    f"{p}.{n}": w for p, held in (("net", WEIGHTS), ("net_ema", OTHER)) for n, w in held.items()
                }
            },
            "'state_dict.net', 'state_dict.net_ema'",
            "state_dict.net",
            "state_dict.net_ema",
        ),
        (
            WEIGHTS | {f"ema.{n}": w for n, w in OTHER.items()},
            "'memory_attention', 'ema'",
            "memory_attention",
            "ema",
        ),
        ({"": {bare(n): w for n, w in WEIGHTS.items()}, "b": OTHER}, "'', 'b'", "", "b.memory_attention"),
    ],
)
def test_of_two_the_user_chooses(checkpoint, offered, first, second, tmp_path):
    with pytest.raises(ValueError, match=f"holds 2 memory attentions, at {re.escape(offered)}: choose one"):
        ma.read_weights(checkpoint, CONFIG)
    torch.save(_tensors(checkpoint), tmp_path / "trained.pt")
    for part, expected in ((first, WEIGHTS), (second, OTHER)):
        same(ma.read_weights(checkpoint, CONFIG, part=part), expected)
        same(ma.load(CONFIG, weights=f"{tmp_path / 'trained.pt'}::{part}").weights, expected)
    with pytest.raises(ValueError, match=f"part is 'emma', expected one of {re.escape(offered)}"):
        ma.read_weights(checkpoint, CONFIG, part="emma")


def _tensors(value):
    if isinstance(value, dict):
        return {name: _tensors(inner) for name, inner in value.items()}
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value


def test_two_colons_in_the_name_of_a_file_are_its_name(tmp_path):
    np.savez(tmp_path / "a::ema.npz", **WEIGHTS)
    same(ma.read_weights(tmp_path / "a::ema.npz", CONFIG), WEIGHTS)
    with pytest.raises(FileNotFoundError, match="no such file: .*b.npz$"):
        ma.read_weights(tmp_path / "b.npz::ema", CONFIG)


def test_one_mapping_under_two_names_is_one():
    same(ma.read_weights({"model": WEIGHTS, "state_dict": WEIGHTS}, CONFIG), WEIGHTS)
    circle = {"model": WEIGHTS}
    circle["self"] = circle
    same(ma.read_weights(circle, CONFIG), WEIGHTS)


def test_names_and_mappings_without_end_are_passed_over():
    """Each would take hours or gigabytes if it were followed."""
    deep = {}
    for _ in range(20_000):
        deep = {"a" * 50: deep}
    same(ma.read_weights({"model": WEIGHTS, "deep": deep}, CONFIG), WEIGHTS)
    anchor = "layers.0.cross_attn_image.q_proj.weight"
    same(ma.read_weights(ATTENTION | {"a." * 200_000 + anchor: np.ones(())}, CONFIG), ATTENTION)
    with pytest.raises(ValueError, match="holds 20000 memory attentions, at '0', '1', '2', '3': choose"):
        ma.read_weights({f"{n}.{anchor}": np.ones(2) for n in range(20_000)}, CONFIG)


@pytest.mark.parametrize("naming", list(NAMINGS))
@pytest.mark.parametrize("name", ["no_obj_embed_spatial", "obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.bias"])
def test_weights_of_a_later_version_are_refused(naming, name):
    """As SAM 2's own strict loading does: `unexpected key`."""
    older = {n: w for n, w in WEIGHTS.items() if n in ATTENTION or n in bank_parameter_shapes(OLDER)}
    translated = NAMINGS[naming]
    same(ma.read_weights({f"model.{translated(n)}": w for n, w in older.items()}, OLDER), older)
    later = {f"model.{translated(n)}": w for n, w in (older | {name: WEIGHTS[name]}).items()}
    with pytest.raises(ValueError, match=f"extra parameter {name} for config 'tiny'"):
        ma.read_weights(later, OLDER)


@pytest.mark.parametrize(("has", "asks"), [("sam2.1_hiera_s", "sam2_hiera_s"), ("sam2_hiera_s", "sam2.1_hiera_s")])
def test_the_configs_that_would_fit_are_named(has, asks):
    weights = {name: np.zeros(w.shape, np.float32) for name, w in ma.draw_weights(ma.load_config(has)).items()}
    with pytest.raises(ValueError, match=re.escape(has[:5])) as error:
        ma.load(asks, weights=weights)
    fitting = re.search("fit the configs (.*)$", str(error.value))[1].split(", ")
    assert has in fitting
    assert asks not in fitting


def test_the_weights_of_edgetam_are_refused():
    with pytest.raises(ValueError, match="spatial_perceiver.latents is of EdgeTAM"):
        ma.read_weights(WEIGHTS | {"spatial_perceiver.latents": np.ones((4, 2))}, CONFIG)


def test_a_parameter_that_is_there_twice_is_refused():
    name = "memory_attention.layers.1.norm2.bias"
    with pytest.raises(ValueError, match=r"layers.1.norm2.bias is there twice, once as .*layer_norm2"):
        ma.read_weights(WEIGHTS | {hugging_face(name): WEIGHTS[name]}, CONFIG)


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"fc" * 300 + str(n): np.ones(3) for n in range(9)},
        {"\x1b[31mred\n\x07": np.ones(2)},
        {"model" * 99: WEIGHTS, "\x1b[31mema": OTHER, "x": {"y" * 300: OTHER}},
        {f"{'tracker.' * 60}{n}": w for n, w in WEIGHTS.items() if n != "maskmem_tpos_enc"},
        {"memory_attention.layers.0.cross_attn_image.q_proj.weight": 3},
        {f"memory_attention.layers.9.cross_attn_image.{p}_proj.weight": np.ones(2) for p in "qkv"},
        WEIGHTS | {"memory_attention." + "x" * 500: np.ones(2)},
    ],
)
def test_an_error_is_one_short_line(source):
    with pytest.raises(ValueError, match="^weights: ") as error:
        ma.read_weights(source, CONFIG)
    assert len(str(error.value)) <= 400
    assert str(error.value).isprintable()


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="the oracle is an optional dependency")


@pytest.mark.parametrize(
    ("model", "config", "later"),
    [
        ("Sam2Video", "sam2.1_hiera_t", True),
        ("Sam2Video", "sam2_hiera_l", False),
        ("Sam3TrackerVideo", "sam3_tracker", True),
        ("Sam3Video", "sam3_tracker", True),
    ],
)
def test_the_models_of_hugging_face_are_read(model, config, later, transformers):
    """Under the names of their own modules, with the numbers that they compute; the rest has no values here."""
    theirs = getattr(transformers, f"{model}Config")()
    if not later:
        theirs.enable_occlusion_spatial_embedding = False
        theirs.enable_temporal_pos_encoding_for_object_pointers = False
    with torch.device("meta"):
        network = getattr(transformers, f"{model}Model")(theirs)
    tracker, prefix = (network.tracker_model, "tracker_model.") if model == "Sam3Video" else (network, "")
    generator = torch.Generator().manual_seed(4)
    state = dict(network.state_dict())
    own = {name: state[prefix + name] for name in tracker.state_dict() if name.startswith("memory_attention.")}
    bank = {ours: f"{prefix}{name}" for ours, name in HUGGING_FACE_BANK.items() if prefix + name in state}
    assert len(own) == 106
    assert len(bank) == (6 if later else 3)
    for name in [*(prefix + name for name in own), *bank.values()]:
        state[name] = torch.randn(state[name].shape, generator=generator) * 0.1
    loaded = ma.load(config, weights=state)

    for ours, name in bank.items():
        np.testing.assert_array_equal(loaded.weights[ours], state[name].numpy())
    small = tracker.config
    small.memory_attention_rope_feat_sizes, small._attn_implementation = [3, 2], "eager"
    attention = type(tracker.memory_attention)(small).eval()
    attention.load_state_dict({n.removeprefix("memory_attention."): state[prefix + n] for n in own})
    inputs = draw_inputs(ma.load_config(config), memories=2, pointers=1, grid=(2, 3))
    arrays = [torch.from_numpy(array) for array in inputs[:4]]
    with torch.no_grad():
        expected = attention(*arrays, num_object_pointer_tokens=inputs.num_obj_ptr_tokens).numpy()
    result = loaded(*inputs)
    assert np.abs(result - expected.reshape(result.shape)).max() <= bound("float32", 20) * np.abs(expected).max()
