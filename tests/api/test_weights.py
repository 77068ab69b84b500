"""Checkpoints with SAM 2's names, in every form, give the same network; broken ones are refused by name."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import memory_attention as ma
from checkpoint_forms import all_weights, hugging_face
from memory_attention.inputs import draw_inputs
from memory_attention.reference import MemoryAttention
from memory_attention.weights import PREFIX

CONFIG = ma.load_config("tiny")
INPUTS = draw_inputs(CONFIG)


@pytest.fixture(scope="module")
def weights():
    return all_weights(CONFIG)


def tensors(weights):
    return {name: torch.from_numpy(weight) for name, weight in weights.items()}


def write(form, weights, folder) -> Path:
    others = {"image_encoder.trunk.weight": torch.zeros(3), "sam_mask_decoder.layers.0.bias": torch.zeros(2)}
    if form == "sam2":
        torch.save({"model": tensors(weights) | others}, folder / "sam2.pt")
        return folder / "sam2.pt"
    if form == "bare":
        torch.save(tensors(weights), folder / "bare.pth")
        return folder / "bare.pth"
    if form == "module":
        own = {n.removeprefix("memory_attention."): t for n, t in tensors(weights).items()}
        torch.save(own, folder / "module.pt")
        return folder / "module.pt"
    if form == "safetensors":
        save_file(tensors(weights) | others, folder / "weights.safetensors")
        return folder / "weights.safetensors"
    if form == "hugging face":
        save_file({hugging_face(n): t for n, t in tensors(weights).items()} | others, folder / "hf.safetensors")
        return folder / "hf.safetensors"
    np.savez(folder / "weights.npz", **weights)
    return folder / "weights.npz"


FORMS = ["sam2", "bare", "module", "safetensors", "hugging face", "npz"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backend", ["reference", "accelerated"])
def test_every_form_gives_the_same_network(form, backend, weights, tmp_path):
    path = write(form, weights, tmp_path)
    expected = ma.load(CONFIG, "reference", weights)
    model = ma.load(CONFIG, backend, path, device="cpu")
    assert model.weights.keys() == expected.weights.keys()
    for name, weight in model.weights.items():
        np.testing.assert_array_equal(weight, weights[name])
    np.testing.assert_allclose(model(*INPUTS), expected(*INPUTS), atol=1e-5)


def test_bfloat16_is_read_as_float32(weights, tmp_path):
    rounded = {name: t.to(torch.bfloat16) for name, t in tensors(weights).items()}
    save_file(rounded, tmp_path / "a.safetensors")
    torch.save(rounded, tmp_path / "a.pt")
    for name in ("a.safetensors", "a.pt"):
        read = ma.read_weights(tmp_path / name, CONFIG)
        for key, tensor in rounded.items():
            np.testing.assert_array_equal(read[key], tensor.float().numpy())


def test_a_seed_gives_the_same_weights_everywhere():
    """What the networks themselves hold, whatever way it took into them."""
    reference = dict(MemoryAttention.from_config(CONFIG.memory_attention).named_parameters())
    drawn = {name.removeprefix(PREFIX): w for name, w in ma.draw_weights(CONFIG, 3).items()}
    fast = ma.load(CONFIG, "accelerated", seed=3, device="cpu").network.module.state_dict()
    assert reference.keys() == fast.keys()
    for name, tensor in fast.items():
        np.testing.assert_array_equal(tensor.numpy(), drawn[name])
    slow = ma.load(CONFIG, "reference", seed=3)
    np.testing.assert_allclose(slow(*INPUTS), ma.load(CONFIG, "accelerated", seed=3)(*INPUTS), atol=1e-5)
    assert np.abs(slow(*INPUTS) - ma.load(CONFIG, "reference", seed=4)(*INPUTS)).max() > 0.1


LAYER = "memory_attention.layers.0.linear1.bias"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop(LAYER), ["missing parameter", LAYER, "'tiny'"]),
        (
            lambda w: w.update({"memory_attention.layers.1.linear1.bias": w[LAYER]}),
            ["extra", "layers.1.linear1.bias"],
        ),
        (lambda w: w.update({LAYER: w[LAYER][:-1]}), [LAYER, "(31,)", "(32,)"]),
        (lambda w: w.update({LAYER: w[LAYER] * np.nan}), [LAYER, "32 values", "NaN or infinite"]),
        (lambda w: w.update({LAYER: w[LAYER] / np.float32(0)}), [LAYER, "NaN or infinite"]),
        (lambda w: w.update({LAYER: w[LAYER].astype(int)}), [LAYER, "int64", "floating"]),
        (lambda w: w.update({LAYER: w[LAYER].astype(complex)}), [LAYER, "complex128", "floating"]),
        (lambda w: w.update(maskmem_tpos_enc=np.zeros((2, 1, 1, 8))), ["maskmem_tpos_enc", "(2, 1, 1, 8)"]),
        (lambda w: w.clear(), ["missing parameter"]),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_wrong_parameter_is_named(change, words, weights):
    broken = dict(weights)
    change(broken)
    with pytest.raises(ValueError, match="weights") as error:
        ma.load(CONFIG, weights=broken)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("form", FORMS)
def test_a_truncated_file_is_refused(form, weights, tmp_path):
    path = write(form, weights, tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=path.name):
        ma.load(CONFIG, weights=path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".npz"])
def test_a_foreign_file_is_refused(suffix, tmp_path):
    path = tmp_path / f"foreign{suffix}"
    path.write_bytes(b"GIF89a, no weights in here")
    with pytest.raises(ValueError, match="foreign"):
        ma.load(CONFIG, weights=path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        ma.load(CONFIG, weights=tmp_path / f"none{suffix}")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": 3}, "found model \\(int\\)"),
        ({"model": [torch.zeros(1)]}, "found model \\(list\\)"),
        ({"model": {"fc.weight": torch.zeros(1)}, "epoch": 2}, "found model.fc.weight"),
        ([torch.zeros(1)], "holds list, expected a mapping"),
        (3, "holds int, expected a mapping"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(content, words, tmp_path):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=f"other.pt: .*{words}"):
        ma.load(CONFIG, weights=tmp_path / "other.pt")


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.mkdir, (self.mark,)


@pytest.mark.parametrize("suffix", [".pt", ".npz"])
def test_a_pickle_that_wants_to_run_code_is_refused(suffix, tmp_path):
    mark, path = tmp_path / "ran", tmp_path / f"evil{suffix}"
    if suffix == ".pt":
        torch.save({"model": {"a": Evil(mark)}}, path)
    else:
        np.savez(path, a=np.array([Evil(mark)], dtype=object))
    with pytest.raises(ValueError, match="evil"):
        ma.load(CONFIG, weights=path)
    assert not mark.exists()
    (tmp_path / "bare.pt").write_bytes(pickle.dumps({"model": Evil(mark)}))
    with pytest.raises(ValueError, match="refused"):
        ma.load(CONFIG, weights=tmp_path / "bare.pt")
    assert not mark.exists()


def test_colons_in_a_path(weights, tmp_path):
    """A file of the whole name comes first; else the part follows the last two colons."""
    whole, folder = tmp_path / "a::ema", tmp_path / "run::3"
    folder.mkdir()
    named = tensors(weights)
    torch.save(named, whole)
    doubled = {name: 2 * tensor for name, tensor in named.items()}
    torch.save({"model": named, "ema": doubled}, folder / "trained.pt")
    for path, factor in ((str(whole), 1), (f"{folder}/trained.pt::ema", 2), (f"{folder}/trained.pt::model", 1)):
        for name, weight in ma.read_weights(path, CONFIG).items():
            np.testing.assert_array_equal(weight, factor * weights[name])


@pytest.mark.parametrize("source", [None, 5, b"model.pt", [1]])
def test_what_cannot_be_a_checkpoint_is_named(source):
    with pytest.raises(TypeError, match=f"weights is {type(source).__name__}, expected a path"):
        ma.read_weights(source, ma.load_config("tiny"))
