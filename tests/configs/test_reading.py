"""A YAML file is read within its limits, and what is beyond them is refused before it is built."""

import json
import os
from unittest import mock

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from memory_attention.configs import reading
from memory_attention.configs.reading import MAX_BYTES, MAX_DEPTH, MAX_DIGITS, read_yaml

names = st.sampled_from(["model", "layer", "x", "y", "1", "true"])
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text("ab:#-é ", max_size=5)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=20
)


@st.composite
def shared_trees(draw):
    """Trees in which the same list or mapping stands in several places: YAML writes them as aliases."""
    nodes = [draw(scalars), draw(scalars)]
    for _ in range(draw(st.integers(2, 6))):
        children = [nodes[i] for i in draw(st.lists(st.integers(0, len(nodes) - 1), min_size=1, max_size=4))]
        nodes.append(children if draw(st.booleans()) else {f"k{i}": child for i, child in enumerate(children)})
    return {"root": nodes[-1]}


def values_in(tree):
    if isinstance(tree, dict):
        return 1 + sum(1 + values_in(value) for value in tree.values())
    return 1 + sum(map(values_in, tree)) if isinstance(tree, list) else 1


@pytest.fixture
def write(tmp_path):
    def write(data, name="given.yaml"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


@given(tree=trees | shared_trees())
def test_what_is_under_the_limits_is_read_as_it_is(tree, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "tree.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    assert read_yaml(path) == tree


@given(tree=shared_trees(), spare=st.integers(-3, 2))
def test_aliases_count_as_what_they_stand_for(tree, spare, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "shared.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    with mock.patch.object(reading, "MAX_VALUES", values_in(tree) + spare):
        if spare >= 0:
            assert read_yaml(path) == tree
        else:
            with pytest.raises(ValueError, match="line .*holds more than .* values"):
                read_yaml(path)


def test_no_config_is_two_hundred_levels_deep(write):
    """Far below what Python's own recursion takes."""
    with pytest.raises(ValueError, match="levels deep"):
        read_yaml(write("[" * 200 + "1" + "]" * 200))


@given(depth=st.integers(MAX_DEPTH - 2, MAX_DEPTH + 2), kinds=st.lists(st.booleans(), min_size=1, max_size=5))
def test_depth(depth, kinds, tmp_path_factory):
    text = "1"
    for level in range(depth):
        text = f"[{text}]" if kinds[level % len(kinds)] else f"{{a: {text}}}"
    path = tmp_path_factory.getbasetemp() / "deep.yaml"
    path.write_text(text)
    if depth <= MAX_DEPTH:
        assert json.dumps(read_yaml(path)) == json.dumps(yaml.safe_load(text))
    else:
        with pytest.raises(ValueError, match=f"line 1: is more than {MAX_DEPTH} levels deep"):
            read_yaml(path)


def test_a_bomb_is_refused_before_it_is_built(write):
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    merged = [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}], k{i}: 1}}" for i in range(1, 30)]
    for start, rest in (("a0: &a0 [x, y]", levels), ("a0: &a0 {x: 1}", merged)):
        path = write("\n".join([start, *rest]))
        with (
            mock.patch.object(yaml, "load", side_effect=AssertionError("built")),
            pytest.raises(ValueError, match="holds more than"),
        ):
            read_yaml(path)


def test_the_size_is_checked_before_the_text_is_parsed(write):
    assert read_yaml(write("x: " + "a" * (MAX_BYTES - 3)))["x"].startswith("a")
    with (
        mock.patch.object(yaml, "parse", side_effect=AssertionError("parsed")),
        pytest.raises(ValueError, match="has more than 1,000,000 bytes"),
    ):
        read_yaml(write("x: " + "a" * (MAX_BYTES - 2)))


@st.composite
def texts_with_a_key_twice(draw):
    """Flow YAML of a tree in which one mapping has one key twice, and that key."""
    tree = draw(st.dictionaries(names, trees, min_size=1, max_size=3))
    key, later = draw(st.sampled_from(sorted(tree))), draw(trees)
    entries = [*tree.items(), (key, later)]
    text = "{" + ", ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in entries) + "}"
    for outer in draw(st.lists(names, max_size=3)):
        text = f"{{{json.dumps(outer)}: [0, {text}]}}"
    return text, key


@given(case=texts_with_a_key_twice())
def test_a_key_that_is_there_twice(case, tmp_path_factory):
    text, key = case
    path = tmp_path_factory.getbasetemp() / "twice.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"line 1: the key '{key}' is there twice"):
        read_yaml(path)


def test_a_merged_key_may_be_overridden(write):
    text = "top: {deep: {b: &b {<<: {x: 1, z: 4}, x: 2}}, c: {<<: *b, y: 3}}"
    assert read_yaml(write(text)) == yaml.safe_load(text)
    assert read_yaml(write(text))["top"]["c"] == {"x": 2, "y": 3, "z": 4}


def test_scalars_that_are_no_numbers_stay_text(write):
    text = (
        "{date: 2020-01-02, bad: 2020-13-45, 2021-05-06: key, int: !!int foo, empty: !!int '', bool: !!bool maybe,"
        " stamp: !!timestamp foo, float: !!float one, hex: 0x" + "f" * 9000 + ", dec: -" + "9" * 9000 + "}"
    )
    assert read_yaml(write(text)) == {
        "date": "2020-01-02",
        "bad": "2020-13-45",
        "2021-05-06": "key",
        "int": "foo",
        "empty": "",
        "bool": "maybe",
        "stamp": "foo",
        "float": "one",
        "hex": "0x" + "f" * 9000,
        "dec": "-" + "9" * 9000,
    }
    at_the_limit = "9" * MAX_DIGITS
    assert read_yaml(write(f"x: {at_the_limit}"))["x"] == int(at_the_limit)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("a: 1\n---\na: 2\n", "line 2: a second document starts"),
        ("x: &x [*x]", "line 1: the alias \\*x stands for itself"),
        ("a: 1\nx: *y", "line 2: the alias \\*y stands for itself or for nothing"),
        ("a: 1\n? [b]\n: 2", "line 2: a key is a list, a mapping or an alias"),
        ("? {b: 3}\n: 2", "line 1: a key is a list, a mapping or an alias"),
        ("a: &a b\n*a : 2", "line 2: a key is a list, a mapping or an alias"),
        ("a: 1\nb: [", "not a YAML file, line 3"),
        ("a: !!python/object/apply:os.getcwd []", "not a YAML file, line 1.*python/object/apply:os.getcwd"),
        ("a: 1".encode("utf-16"), "not a YAML file: byte 0 is not UTF-8"),
        (b"a: \xe9", "not a YAML file: byte 3 is not UTF-8"),
        (b"a: b\0", "not a YAML file: .*character"),
    ],
)
def test_what_is_no_single_plain_document(write, data, words):
    with pytest.raises(ValueError, match=words):
        read_yaml(write(data))


def test_a_byte_order_mark_is_no_part_of_the_first_key(write):
    assert read_yaml(write(b"\xef\xbb\xbfa: 1")) == {"a": 1}


def test_what_is_no_regular_file_is_named_and_not_opened(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "device.yaml").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="is a folder, expected a YAML file"):
        read_yaml(tmp_path / "folder.yaml")
    for name in ("pipe.yaml", "device.yaml"):
        with pytest.raises(ValueError, match="is a pipe or a device, expected a YAML file"):
            read_yaml(tmp_path / name)
