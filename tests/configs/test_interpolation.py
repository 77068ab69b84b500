"""`${a.b.c}` is the value that stands there; what is not in the file is an error that names the key."""

import copy

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import memory_attention as ma
from memory_attention.configs.interpolation import Interpolations

scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | st.text("ab.$ {}:", max_size=6)
plain = scalars.filter(lambda value: "${" not in str(value))
keys = st.text("abc", min_size=1, max_size=2)
trees = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=12
)


FORMS = ["plain", "plain", "key", "index", "nested", "chain", "relative", "text", "through"]


@st.composite
def interpolated(draw, tree, root=("tree",)):
    """A document that has `tree` at `root`, some of its nodes, drawn, moved elsewhere and pointed at."""
    document = {"pool": {}, "list": ["spare"], "names": {"alias": "${pool}"}, "all": "${names}"}

    def move(node, path, stays=True):
        form = draw(st.sampled_from(FORMS))
        if form == "text" and (not isinstance(node, str) or node[:1] in ("", "$")):
            form = "plain"
        if form == "relative" and not stays:
            form = "key"
        node_stays = stays and form == "plain"
        if isinstance(node, dict):
            node = {key: move(value, (*path, key), node_stays) for key, value in node.items()}
        elif isinstance(node, list):
            node = [move(value, (*path, index), node_stays) for index, value in enumerate(node)]
        if form == "plain":
            return node
        if form == "index":
            document["list"].append(node)
            last = len(document["list"]) - 1
            return draw(st.sampled_from([f"${{list[{last}]}}", f"${{list.{last}}}"]))
        number = len(document["pool"])
        document["pool"][f"k{number}"] = node[1:] if form == "text" else node
        document["names"][f"n{number}"] = f"${{pool.k{number}}}" if form == "chain" else number
        return {
            "key": f"${{pool.k{number}}}",
            "nested": f"${{pool.k${{names.n{number}}}}}",
            "chain": f"${{ names.n{number} }}",
            "relative": f"${{{'.' * len(path)}pool.k{number}}}",
            "through": f"${{all.alias.k{number}}}",
            "text": f"{str(node)[:1]}${{pool.k{number}}}",
        }[form]

    place = document
    for key in root[:-1]:
        place = place.setdefault(key, {})
    place[root[-1]] = move(copy.deepcopy(tree), root)
    return document


def typed(value):
    """The value with its types, so that 1, 1.0 and true differ."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    return [typed(inner) for inner in value] if isinstance(value, list) else (type(value), value)


@given(data=st.data(), tree=trees)
def test_resolved_is_what_stands_there(data, tree):
    document = data.draw(interpolated(tree))
    assert typed(Interpolations(document).resolve(document["tree"], ("tree",))) == typed(tree)


@given(data=st.data(), layers=st.integers(1, 9), size=st.sampled_from([512, 768]))
def test_a_config_says_the_same_with_its_values_elsewhere(data, layers, size, tmp_path_factory):
    attention = {"rope_theta": 50.0, "num_heads": 2, "dropout": 0.25, "feat_sizes": [size // 16] * 2}
    layer = {"activation": "gelu", "dim_feedforward": 96, "pos_enc_at_attn": True, "cross_attention": attention}
    network = {"num_layers": layers, "d_model": 128, "layer": layer}
    bank = {"num_maskmem": 5, "use_obj_ptrs_in_encoder": False, "max_obj_ptrs_in_encoder": 7}
    model = {"memory_attention": network, "image_size": size, "backbone_stride": 8, **bank}
    document = data.draw(interpolated(model, ("trainer", "model")))
    document["trainer"]["epochs"] = "${times:${scratch.epochs},2}"
    document["log"] = "${oc.env:HOME}/${launcher.folder}"
    folder = tmp_path_factory.getbasetemp() / "plain"
    folder.mkdir(exist_ok=True)
    (folder / "drawn.yaml").write_text(yaml.safe_dump({"model": model}))
    path = folder.parent / "drawn.yaml"
    path.write_text(yaml.safe_dump(document))
    config = ma.load_config(path)
    assert config == ma.load_config(folder / "drawn.yaml")
    assert (config.memory_attention.num_layers, config.grid) == (layers, (size // 8, size // 8))


@pytest.mark.parametrize(
    ("value", "rest", "words"),
    [
        ("${scratch.resolution}", "", "model.image_size is '${scratch.resolution}'.*no key 'scratch'"),
        ("${scratch.resolution}", "scratch: {size: 512}", "no key 'scratch.resolution'"),
        ("${scratch.size.x}", "scratch: {size: 512}", "no key 'scratch.size.x'"),
        ("${scratch.2}", "scratch: [512, 513]", "no key 'scratch.2'"),
        ("${scratch}", "scratch: '${oc.env:SIZE}'", "model.image_size is .*'${oc.env:SIZE}' needs a resolver"),
        ("${times:2,${scratch}}", "scratch: 256", "'${times:2,256}' needs a resolver"),
        ("${divide:${scratch},2}", "scratch: 1024", "needs a resolver"),
        ("${a}", "a: '${b}'\nb: '${a}'", "model.image_size is '${a}': its interpolations go in a circle"),
        ("${a}", "a: 'x${b}'\nb: 'y${a}'", "model.image_size is '${a}': its interpolations go in a circle"),
        ("${model.image_size}", "", "circle"),
        ("${....image_size}", "", "lies above the top"),
        ("${", "", "model.image_size is '${': no interpolation"),
        ("${}", "", "no key"),
        ("1${a}", "a: [2]", "'${a}' is not one value"),
        ("${a}", "a: null", "model.image_size is None, expected a valid integer"),
        ("1${a}", "a: 2.0", "model.image_size is '12.0'|image_size 12 is not divisible"),
    ],
)
def test_what_cannot_be_resolved_is_never_a_default(value, rest, words, tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text(f"{rest}\nmodel: {{image_size: '{value}', memory_attention: {{d_model: 128}}}}\n")
    with pytest.raises(ValueError, match=words.replace("$", r"\$").replace("{", r"\{")) as error:
        ma.load_config(path)
    assert str(error.value).startswith(f"{path}: ")


def test_a_circle_of_containers_and_what_doubles_end_soon(tmp_path):
    doubling = "\n".join(f"a{i}: '${{a{i - 1}}}${{a{i - 1}}}'" for i in range(1, 60))
    for text in (
        "memory_attention: {layer: '${memory_attention}'}",
        f"a0: xx\n{doubling}\nmemory_attention: {{num_layers: '${{a59}}'}}",
        "memory_attention: {num_layers: '" + "${" * 9000 + "'}",
    ):
        path = tmp_path / "bomb.yaml"
        path.write_text(text)
        with pytest.raises(ValueError, match="memory_attention.*(circle|too long)"):
            ma.load_config(path)


@pytest.mark.parametrize("length", [60, 150])
def test_a_chain_is_followed_so_far_and_no_further(length):
    """A value leads to the next at two levels each: a hundred of them are followed."""
    document = {"a0": 7} | {f"a{i}": f"${{a{i - 1}}}" for i in range(1, length)}
    found = Interpolations(document)
    if length == 60:
        assert found.resolve(f"${{a{length - 1}}}", ("x",)) == 7
    else:
        with pytest.raises(ValueError, match="further than is followed"):
            found.resolve(f"${{a{length - 1}}}", ("x",))


def test_no_more_than_a_stated_number_of_values_is_resolved(monkeypatch):
    monkeypatch.setattr("memory_attention.configs.interpolation.MAX_STEPS", 500)
    document = {"a0": 1} | {f"a{i}": [f"${{a{i - 1}}}"] * 2 for i in range(1, 60)}
    with pytest.raises(ValueError, match="further than is followed"):
        Interpolations(document).resolve("${a59}", ("x",))
    assert Interpolations(document).resolve("${a3}", ("x",)) == [[[1, 1], [1, 1]], [[1, 1], [1, 1]]]


def test_a_relative_path_starts_where_it_was_written():
    inner = {"w": "${..x}", "v": ["${...x}", "${.0}"]}
    document = {"a": {"x": 3, "y": "${.x}", "z": inner}, "x": 7, "b": "${a.z}", "c": "${a.y}"}
    assert Interpolations(document).resolve(document["b"], ("b",))["w"] == 3
    assert Interpolations(document).resolve(document["b"], ("b",))["v"] == [3, 3]
    assert Interpolations(document).resolve(document["c"], ("c",)) == 3
