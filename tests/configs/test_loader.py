"""SAM 2's YAML files load unchanged; what is wrong in a file is named."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import memory_attention as ma
from memory_attention.configs import loader, words

SAM2 = [name for name in ma.available_configs() if name.startswith("sam2")]

# As SAM 2 writes it: the rest of the model is there, and training files leave values to be filled in.
SAM2_FILE = """
# @package _global_
scratch: {resolution: 1024}
model:
  _target_: sam2.modeling.sam2_base.SAM2Base
  image_encoder:
    _target_: sam2.modeling.backbones.image_encoder.ImageEncoder
    scalp: 1
    trunk: {_target_: sam2.modeling.backbones.hieradet.Hiera, embed_dim: 96}
  memory_attention:
    _target_: sam2.modeling.memory_attention.MemoryAttention
    d_model: 256
    pos_enc_at_input: true
    layer:
      _target_: sam2.modeling.memory_attention.MemoryAttentionLayer
      activation: relu
      dim_feedforward: 2048
      dropout: 0.1
      pos_enc_at_attn: false
      self_attention:
        _target_: sam2.modeling.sam.transformer.RoPEAttention
        rope_theta: 10000.0
        feat_sizes: [64, 64]
        embedding_dim: 256
        num_heads: 1
        downsample_rate: 1
        dropout: 0.1
      d_model: 256
      pos_enc_at_cross_attn_keys: true
      pos_enc_at_cross_attn_queries: false
      cross_attention:
        _target_: sam2.modeling.sam.transformer.RoPEAttention
        rope_theta: 10000.0
        feat_sizes: [64, 64]
        rope_k_repeat: True
        embedding_dim: 256
        num_heads: 1
        downsample_rate: 1
        dropout: 0.1
        kv_in_dim: 64
    num_layers: 4
  memory_encoder: {_target_: sam2.modeling.memory_encoder.MemoryEncoder, out_dim: 64}
  num_maskmem: 7
  image_size: ${scratch.resolution}
  sigmoid_scale_for_mem_enc: 20.0
  use_mask_input_as_output_without_sam: true
  directly_add_no_mem_embed: true
  use_obj_ptrs_in_encoder: true
  add_tpos_enc_to_obj_ptrs: false
  only_obj_ptrs_in_the_past_for_eval: true
  pred_obj_scores: true
  compile_image_encoder: False
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="config.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("name", SAM2)
def test_the_values_of_the_design(name):
    config = ma.load_config(name)
    network, layer = config.memory_attention, config.memory_attention.layer
    assert (network.d_model, network.num_layers, network.memory_dim, network.pos_enc_at_input) == (
        256,
        4,
        64,
        True,
    )
    assert (layer.activation, layer.dim_feedforward, layer.dropout) == ("relu", 2048, 0.1)
    flags = (layer.pos_enc_at_attn, layer.pos_enc_at_cross_attn_keys, layer.pos_enc_at_cross_attn_queries)
    assert flags == (False, True, False)
    for attention in (layer.self_attention, layer.cross_attention):
        assert (attention.rotary, attention.rope_theta, attention.feat_sizes) == (True, 10000, (64, 64))
        assert (attention.num_heads, attention.downsample_rate, attention.dropout) == (1, 1, 0.1)
    assert (layer.self_attention.rope_k_repeat, layer.cross_attention.rope_k_repeat) == (False, True)
    bank = config.memory_bank
    is_2_1 = name.startswith("sam2.1")
    assert (bank.num_maskmem, bank.max_obj_ptrs_in_encoder, config.grid) == (7, 16, (64, 64))
    assert bank.add_tpos_enc_to_obj_ptrs == bank.proj_tpos_enc_in_obj_ptrs == is_2_1
    assert bank.use_signed_tpos_enc_to_obj_ptrs == bank.no_obj_embed_spatial == is_2_1


def test_sam3_is_the_same_on_a_larger_grid():
    sam3, sam2 = ma.load_config("sam3_tracker"), ma.load_config("sam2.1_hiera_t")
    assert sam3.grid == (72, 72)
    assert sam3.memory_attention.layer.cross_attention.feat_sizes == (72, 72)
    assert sam3.memory_bank == sam2.memory_bank.model_copy(update={"max_cond_frames_in_attn": 4})


def test_a_sam2_file_loads_unchanged(write):
    config = ma.load_config(write(SAM2_FILE))
    assert config.memory_attention == ma.load_config("sam2_hiera_t").memory_attention
    assert config.memory_bank == ma.load_config("sam2_hiera_t").memory_bank


def test_a_node_without_the_model_and_a_training_file(write):
    model = yaml.safe_load(SAM2_FILE)["model"]
    bare = yaml.safe_dump({"memory_attention": model["memory_attention"]})
    training = yaml.safe_dump({"scratch": {"resolution": 1024}, "trainer": {"model": model}})
    for text in (bare, training):
        assert ma.load_config(write(text)).memory_attention == ma.load_config("sam2_hiera_t").memory_attention


def test_a_file_that_gives_less_takes_the_rest_from_sam2(write):
    config = ma.load_config(write("memory_attention: {d_model: 128, layer: {activation: gelu}}"))
    layer = config.memory_attention.layer
    assert (layer.d_model, layer.activation, layer.dim_feedforward) == (128, "gelu", 2048)
    assert (layer.self_attention.embedding_dim, layer.cross_attention.embedding_dim) == (128, 128)
    assert (layer.cross_attention.kv_in_dim, layer.cross_attention.rope_k_repeat) == (64, True)
    assert ma.load_config(write("memory_attention: {}")).memory_attention == (
        ma.load_config("sam2_hiera_t").memory_attention
    )


def test_our_files_say_only_what_sam2_knows():
    """Our nodes have SAM 2's targets, and SAM 2's constructors know every key."""
    known = {
        "MemoryAttention": {"d_model", "pos_enc_at_input", "layer", "num_layers", "batch_first"},
        "MemoryAttentionLayer": {
            *("activation", "cross_attention", "d_model", "dim_feedforward", "dropout", "pos_enc_at_attn"),
            *("pos_enc_at_cross_attn_keys", "pos_enc_at_cross_attn_queries", "self_attention"),
        },
        "RoPEAttention": {
            *("embedding_dim", "num_heads", "downsample_rate", "dropout", "kv_in_dim"),
            *("rope_theta", "rope_k_repeat", "feat_sizes"),
        },
    }

    def check(node):
        target = node.pop("_target_")
        assert target.startswith("sam2.modeling.")
        assert set(node) <= known[target.rpartition(".")[2]]
        for value in node.values():
            if isinstance(value, dict):
                check(value)

    for path in loader.FOLDER.glob("*.yaml"):
        check(yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["memory_attention"])


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("dim_feedforward", "dim_feedfoward", ["memory_attention.layer", "'dim_feedfoward'", "'dim_feedforward'"]),
        ("num_maskmem: 7", "num_maskmen: 7", ["model", "'num_maskmen'", "'num_maskmem'"]),
        ("num_maskmem: 7", "num_maskmem: seven", ["model.num_maskmem", "'seven'", "integer"]),
        ("activation: relu", "activation: tanh", ["layer.activation", "'tanh'", "'relu', 'gelu' or 'glu'"]),
        ("num_heads: 1", "num_heads: 3", ["self_attention", "num_heads 3 does not divide", "256"]),
        ("num_heads: 1", "num_heads: 128", ["self_attention", "head dim 2", "divisible by 4"]),
        ("num_layers: 4", "num_layers: 0", ["memory_attention.num_layers", "0", "greater than 0"]),
        (
            "sam2.modeling.sam.transformer.RoPEAttention",
            "os.system",
            ["_target_", "'os.system'", "not built"],
        ),
        ("transformer.RoPEAttention", "transformer.RopeAttention", ["did you mean", "RoPEAttention"]),
        ("    d_model: 256\n    pos", "    d_model: 128\n    pos", ["layer.d_model", "256", "128"]),
        ("    num_layers: 4", "    num_layers: [", ["not a YAML file"]),
        ("  memory_attention:", "  memory_attentions:", ["memory_attention"]),
    ],
)
def test_what_is_wrong_is_named(write, old, new, expected):
    assert old in SAM2_FILE
    path = write(SAM2_FILE.replace(old, new, 1))
    with pytest.raises(ValueError, match="config.yaml") as error:
        ma.load_config(path)
    for word in expected:
        assert word in str(error.value)


def test_an_unknown_name_gets_a_suggestion(tmp_path):
    with pytest.raises(FileNotFoundError, match="did you mean 'sam2.1_hiera_t'"):
        ma.load_config("sam2.1_hiera_x")
    with pytest.raises(FileNotFoundError, match="no such file"):
        ma.load_config(tmp_path / "none.yaml")


@given(
    document=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["model", "memory_attention", "layer", "d_model", "_target_", "x"]), inner
            )
        ),
        max_leaves=8,
    )
)
def test_any_yaml_loads_or_is_refused_clearly(document, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "drawn.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    try:
        assert isinstance(ma.load_config(path), ma.Config)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
        assert len(str(error)) <= len(str(path)) + 302  # noqa: PT017


WIDE = 65_536
NUMBERS = {
    "memory_attention.num_layers": ("{memory_attention: {num_layers: %s}}", 256),
    "memory_attention.d_model": ("{memory_attention: {d_model: %s}}", WIDE),
    "memory_attention.layer.d_model": ("{memory_attention: {d_model: %s, layer: {d_model: %s}}}", WIDE),
    "memory_attention.layer.dim_feedforward": ("{memory_attention: {layer: {dim_feedforward: %s}}}", WIDE),
    "cross_attention.kv_in_dim": (
        "{use_obj_ptrs_in_encoder: false, memory_attention: {layer: {cross_attention: {kv_in_dim: %s}}}}",
        WIDE,
    ),
    "cross_attention.feat_sizes.1": (
        "{memory_attention: {layer: {cross_attention: {feat_sizes: [3, %s]}}}}",
        WIDE,
    ),
    "model.image_size": ("{image_size: %s, memory_attention: {}}", WIDE),
    "model.num_maskmem": ("{num_maskmem: %s, memory_attention: {}}", WIDE),
}


@pytest.mark.parametrize("key", NUMBERS)
def test_numbers_have_limits(write, key):
    text, most = NUMBERS[key]
    assert isinstance(ma.load_config(write(text.replace("%s", str(most)))), ma.Config)
    for beyond in (most + 1, 10**9, "9" * 40, "9" * 5000, "0x" + "f" * 4000, -1, "true", "1e3x", ".inf", "[1]"):
        with pytest.raises(ValueError, match="config.yaml: ") as error:
            ma.load_config(write(text.replace("%s", str(beyond))))
        asked = key.replace(".layer.d_model", ".d_model")
        assert asked in str(error.value)
        assert len(str(error.value)) < 400


def test_an_error_stays_short_whatever_came(write):
    long = "layers" * 30
    for text in (
        f"memory_attention: {{{long}: 1}}",
        f"memory_attention: {{num_layers: {long * 100}}}",
        f"memory_attention: {{num_layers: [{', '.join([long] * 100)}]}}",
        f"memory_attention: {{_target_: {long * 100}}}",
        f"memory_attention: {{layer: {{activation: {{{long}: {{{long}: [{long}]}}}}}}}}",
        f"memory_attention: {{num_layers: '${{{long * 20}}}'}}",
        f"image_size: '${{{'a.' * 2000}b}}'\nmemory_attention: {{}}",
        f"memory_attention: !{long * 5} {{}}",
    ):
        path = write(text)
        with pytest.raises(ValueError, match="memory_attention|image_size|YAML") as error:
            ma.load_config(path)
        assert len(str(error.value)) <= len(str(path)) + 302
    with pytest.raises(FileNotFoundError, match="bundled are") as unknown:
        ma.load_config(long * 1000)
    assert len(str(unknown.value)) < 400
    with pytest.raises(FileNotFoundError, match="no such file"):
        ma.load_config(long * 1000 + ".yaml")


def test_many_keys_are_read_quickly_and_a_misspelt_one_among_them_is_named(write, monkeypatch):
    """One comparison a known key: the words are prepared once for each, not for every key of the file."""
    compared = []
    monkeypatch.setattr(words.difflib, "get_close_matches", lambda *given, **_: compared.append(given) or [])
    keys = "\n".join(f"key{index}: {index}" for index in range(3000))
    assert isinstance(ma.load_config(write(f"{keys}\nmemory_attention: {{}}")), ma.Config)
    assert len(compared) < 50
    monkeypatch.undo()
    with pytest.raises(ValueError, match="unknown key 'num_maskmen' \\(did you mean 'num_maskmem'"):
        ma.load_config(write(f"{keys}\nnum_maskmen: 3\nmemory_attention: {{}}"))


def test_the_model_that_is_read(write):
    """A trainer's model before the model before the top level, and a trainer without a model is none."""
    nodes = [f"{{memory_attention: {{num_layers: {layers}}}}}" for layers in (1, 2)]
    top = "memory_attention: {num_layers: 3}"
    for text, layers in (
        (f"trainer: {{model: {nodes[0]}}}\nmodel: {nodes[1]}\n{top}", 1),
        (f"trainer: {{epochs: 5}}\nmodel: {nodes[1]}\n{top}", 2),
        (f"trainer: cpu\nmodel: {nodes[1]}", 2),
        (f"model: resnet\n{top}", 3),
        (f"trainer: {{model: '${{model}}'}}\nmodel: {nodes[1]}", 2),
    ):
        assert ma.load_config(write(text)).memory_attention.num_layers == layers


def test_yaml_cannot_run_code(write, tmp_path):
    mark = tmp_path / "ran"
    with pytest.raises(ValueError, match="not a YAML file"):
        ma.load_config(write(f"model: !!python/object/apply:os.mkdir ['{mark}']"))
    assert not mark.exists()


def test_a_file_that_is_put_together_from_others_is_refused(write):
    rest = "memory_attention: {num_layers: 3}"
    for entry in ("sam2.1_hiera_t", "{model: tiny}", "{override model: tiny}", "{optional model: x}"):
        with pytest.raises(ValueError, match="config.yaml: defaults names another file, .* one whole file"):
            ma.load_config(write(f"defaults: [_self_, {entry}]\n{rest}"))
    for harmless in ("[_self_]", "[_self_, {override hydra/job_logging: none}]", "[]", "~", "{lr: 1}"):
        assert ma.load_config(write(f"defaults: {harmless}\n{rest}")).memory_attention.num_layers == 3
