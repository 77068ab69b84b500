"""Every form in which weights are stored gives the same arrays; what is no checkpoint gets its own clear word."""

import argparse
import io
import json
import os
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import memory_attention as ma
from checkpoint_forms import (
    CONFIG,
    NAME,
    TENSORS,
    WEIGHTS,
    WRITERS,
    all_weights,
    check_one_clear_line,
    same,
    write_shards,
)


@given(
    st.sampled_from(list(WRITERS)),
    st.sampled_from([".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".npz", ".model", ""]),
    st.sampled_from([torch.float16, torch.float32, torch.float64]),
    st.integers(0, 99),
)
def test_a_file_is_known_by_what_is_in_it(tmp_path_factory, form, suffix, precision, seed):
    tensors = {name: torch.from_numpy(weight).to(precision) for name, weight in all_weights(CONFIG, seed).items()}
    path = tmp_path_factory.mktemp("form") / f"weights{suffix}"
    WRITERS[form](tensors | {"image_encoder.trunk.weight": torch.full((2, 3), 7)}, path)
    read = ma.read_weights(path, CONFIG)
    same(read, {name: tensor.numpy() for name, tensor in tensors.items()})
    assert all(array.dtype == str(precision).removeprefix("torch.") for array in read.values())


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards_are_put_together(count, suffix, tmp_path):
    index = write_shards(tmp_path, TENSORS | {"vision_encoder.weight": torch.ones(3, 2)}, count, suffix)
    same(ma.read_weights(index, CONFIG), WEIGHTS)
    if suffix == ".safetensors":
        same(ma.load(CONFIG, weights=tmp_path).weights, WEIGHTS)


def test_a_folder_gives_its_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint in the folder"):
        ma.read_weights(tmp_path, CONFIG)
    (tmp_path / "config.json").write_text("{}")
    torch.save({name: tensor + 1 for name, tensor in TENSORS.items()}, tmp_path / "sam3.pt")
    same(ma.read_weights(tmp_path, CONFIG), {name: weight + 1 for name, weight in WEIGHTS.items()})
    torch.save(TENSORS, tmp_path / "b.ckpt")
    with pytest.raises(ValueError, match="holds 2 checkpoints, so name one of them: b.ckpt, sam3.pt"):
        ma.read_weights(tmp_path, CONFIG)
    save_file(TENSORS, tmp_path / "model.safetensors")
    same(ma.read_weights(tmp_path, CONFIG), WEIGHTS)


@pytest.mark.parametrize(
    "place", ["../a.safetensors", "/etc/a.safetensors", "b/a.safetensors", "..\\a", "..", "", "a\0b"]
)
def test_a_shard_outside_the_folder_is_refused(place, tmp_path):
    folder = tmp_path / "model"
    (folder / "b").mkdir(parents=True)
    for other in (tmp_path, folder / "b"):
        save_file(TENSORS, other / "a.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(TENSORS, place)}))
    with pytest.raises(ValueError, match="expected the name of a file beside it"):
        ma.read_weights(index, CONFIG)


def test_shards_that_do_not_fit_their_index_are_named(tmp_path):
    index = write_shards(tmp_path, TENSORS, 2)
    shard = tmp_path / "model-00002-of-00002.safetensors"
    lost = list(TENSORS)[1]
    save_file({"other": torch.ones(2)}, shard)
    with pytest.raises(ValueError, match=f"places {lost} in {shard.name}, which lacks it"):
        ma.read_weights(index, CONFIG)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=f"names the shard '{shard.name}', which is not there"):
        ma.read_weights(index, CONFIG)
    index.write_text(json.dumps({"weight_map": {NAME: index.name}}))
    with pytest.raises(ValueError, match="index.json: is no checkpoint"):
        ma.read_weights(index, CONFIG)


@pytest.mark.parametrize("form", ["safetensors", "npz"])
def test_only_what_is_wanted_is_read(form, tmp_path, monkeypatch):
    """A whole model is mostly image encoder: its numbers stay in the file."""
    WRITERS[form](TENSORS | {"image_encoder.weight": torch.ones(5, 3)}, tmp_path / "whole")
    read = []
    for module, function in ((np, "fromfile"), (np.lib.npyio.NpzFile, "__getitem__")):
        whole = getattr(module, function)
        monkeypatch.setattr(
            module, function, lambda *a, _whole=whole, **k: read.append(_whole(*a, **k)) or read[-1]
        )
    same(ma.read_weights(tmp_path / "whole", CONFIG), WEIGHTS)
    assert len(read) == len(WEIGHTS)


def header(entries, data=b""):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + data


def zipped(members, compression=zipfile.ZIP_STORED):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return held.getvalue()


def tarred():
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.pt"))
    return held.getvalue()


PETABYTES = (
    b"\x93NUMPY\x01\x00\x76\x00"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (32, 1099511627776), }".ljust(118)
)
SAVED = io.BytesIO()
torch.save(TENSORS, SAVED)
SAVED = SAVED.getvalue()
with zipfile.ZipFile(io.BytesIO(SAVED)) as archive:
    MEMBERS = {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".npz", ".bin"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n\n ", "is blank"),
        (b"\n<!DOCTYPE html><html><body>Log in</body></html>", "is a web page.*download failed"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error>AccessDenied</Error>", "is a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 155\n",
            "Git LFS pointer.*git lfs pull",
        ),
        (b'{"error": "not found"}', "JSON without the weight_map"),
        (b'[{"model": 3}]', "JSON without the weight_map"),
        (b'{"weight_map": {"a": 3}, ', "not a readable checkpoint"),
        (b"PK\x03\x04" + b"x" * 99, "cut short.*download it again"),
        (SAVED[: len(SAVED) // 2], "cut short.*download it again"),
        (zipped({"readme.txt": b"x", "model/a.pt": b"y"}), "is an archive of readme.txt, model/a.pt"),
        (zipped({}), "is an archive of nothing"),
        (zipped(MEMBERS, zipfile.ZIP_DEFLATED), "packed anew with compression"),
        (zipped({"a/data.pkl": b"", "a/constants.pkl": b"", "a/code/x.py": b""}), "TorchScript.*state_dict"),
        (zipped({"a/data.pkl": b"\x80\x02"}), "not a readable checkpoint"),
        (zipped({f"{NAME}.npy": PETABYTES}), "missing parameter"),
        (b"\x1f\x8b\x08\x00", "packed with gzip: unpack"),
        (b"\xfd7zXZ\x00", "packed with xz"),
        (tarred(), "tar archive: unpack"),
        (b"GGUF\x03", "GGUF"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x93NUMPY\x01\x00", "single array"),
        (b"\x80\x04no pickle", "(refused|not a readable checkpoint)"),
        (b"\x1b[31mred\x07 text", "is no checkpoint"),
        (header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}), "not a readable checkpoint"),
        (header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}, b"1234"), "not a readable"),
        (header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, b"1234"), "not a readable"),
        ((2**60).to_bytes(8, "little") + b"{}", "not a readable checkpoint"),
    ],
)
def test_what_is_no_checkpoint_gets_its_own_word(content, words, suffix, tmp_path):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        ma.load(CONFIG, weights=path)
    assert str(error.value).startswith(f"{path}: ")
    check_one_clear_line(error)


def test_an_array_is_not_unpacked_before_its_shape_is_known(tmp_path):
    """A header that asks for petabytes is refused by its shape."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name, tensor in TENSORS.items():
            held = io.BytesIO()
            np.save(held, tensor.numpy())
            archive.writestr(f"{name}.npy", PETABYTES if name == NAME else held.getvalue())
    with pytest.raises(ValueError, match=r"linear1.weight has shape \(32, 1099511627776\), expected \(32, 16\)"):
        ma.read_weights(tmp_path / "a.npz", CONFIG)


def test_damaged_numbers_are_refused(tmp_path):
    """A header that says what is wanted, and bytes that a checksum shows to be others."""
    network = CONFIG.memory_attention
    layer = network.layer.model_copy(update={"dim_feedforward": 400})
    wide = CONFIG.model_copy(update={"memory_attention": network.model_copy(update={"layer": layer})})
    weights, path = all_weights(wide), tmp_path / "a.npz"
    np.savez(path, **weights)
    content = path.read_bytes()
    place = content.index(weights[NAME].tobytes()[-400:])
    path.write_bytes(content[:place] + b"\x01\x02" + content[place + 2 :])
    with pytest.raises(ValueError, match="linear1.weight could not be read, perhaps the file is damaged"):
        ma.read_weights(path, wide)


def test_a_header_that_unpacks_without_end_is_not_unpacked(tmp_path):
    """30 MB of header in a file of 30 kB: what is taken for it stays small."""
    long = b"\x93NUMPY\x02\x00" + (30_000_000).to_bytes(4, "little") + b" " * 30_000_000
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{NAME}.npy", long)
    tracemalloc.start()
    with pytest.raises(ValueError, match="a.npz: not a readable checkpoint"):
        ma.read_weights(tmp_path / "a.npz", CONFIG)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(ValueError, match="pipe.pt: is a folder, a pipe or a device"):
        ma.read_weights(tmp_path / "pipe.pt", CONFIG)


class Recipe:
    rate = 0.1


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (argparse.Namespace(lr=1), "argparse.Namespace"),
        (Recipe(), "Recipe"),
        (np.float64(0.3), "numpy"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        (print, "print"),
    ],
)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_pickled_extras_are_named_and_the_way_out_is_told(extra, words, form, tmp_path):
    path = tmp_path / "extras.pt"
    WRITERS[form]({"model": TENSORS, "args": extra}, path)
    with pytest.raises(ValueError, match=f"refused, since it holds [^,]*{words}.*save the tensors alone") as error:
        ma.load(CONFIG, weights=path)
    check_one_clear_line(error)


def test_a_name_with_terminal_codes_in_a_pickle_is_shown_without_them(tmp_path):
    path = tmp_path / "evil.pt"
    path.write_bytes(b"\x80\x02c\x1b[31mos\nsystem\x07\n.")
    with pytest.raises(ValueError, match="evil.pt: ") as error:
        ma.load(CONFIG, weights=path)
    check_one_clear_line(error)


@given(data=st.data())
@settings(max_examples=60)
def test_a_damaged_file_is_refused_or_gives_what_the_shapes_ask(data, tmp_path_factory):
    """Any bytes in any place: a `ValueError`, or arrays of the right shapes; no other kind of error."""
    form = data.draw(st.sampled_from(list(WRITERS)))
    path = tmp_path_factory.mktemp("damaged") / "weights"
    WRITERS[form](TENSORS, path)
    content = bytearray(path.read_bytes())
    place = data.draw(
        st.integers(0, min(len(content), 4000) - 1) | st.integers(len(content) - 600, len(content) - 1)
    )
    content[place : place + 4] = data.draw(st.binary(min_size=0, max_size=9))
    path.write_bytes(content)
    message, read = "", {}
    try:
        read = ma.read_weights(path, CONFIG)
    except ValueError as error:
        message = str(error)
    if message:
        assert message.startswith(f"{path}: ")
        assert message.isprintable()
        assert len(message) < 500
    else:
        assert {name: array.shape for name, array in read.items()} == {n: w.shape for n, w in WEIGHTS.items()}
