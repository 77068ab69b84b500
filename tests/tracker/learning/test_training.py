"""A training that can be interrupted."""

import shutil
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
import yaml
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_attention.tracker import read_tracker
from memory_attention.tracker.learning import training as training_module
from memory_attention.tracker.learning import unrolled as unrolled_module
from memory_attention.tracker.learning.checkpoint import CHECKPOINT
from memory_attention.tracker.learning.log import COLUMNS, LOG, read_log, write_log
from memory_attention.tracker.learning.recipe import Recipe
from memory_attention.tracker.learning.training import Training, train

pytest.importorskip("skimage", reason="the clips are made of scikit-image's photographs")

SHORT = Recipe(steps=4, frames=4, lengths=(2, 3), warmup=2)


def test_training_goes_on_as_if_never_interrupted(tmp_path):
    whole = train(tmp_path / "whole", SHORT, show_progress=False)
    train(tmp_path / "parts", SHORT, stop_at=2, show_progress=False)
    parts = train(tmp_path / "parts", SHORT, show_progress=False)
    _, expected, _ = read_tracker(whole)
    _, found, _ = read_tracker(parts)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    losses = [
        [line.split(",")[3] for line in (tmp_path / name / LOG).read_text().splitlines()]
        for name in ("whole", "parts")
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 5


def test_muon_changes_the_layers_between_the_first_and_the_last():
    training = Training(SHORT)
    groups = {
        name: {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
        for name, optimiser in training.optimisers.items()
    }
    muons = {name for name, parameter in training.parameters.items() if id(parameter) in groups["muon"]}
    assert {"memory_attention.layers.1.linear1.weight", "image_encoder.coarse.0.weight"} <= muons
    for part, count, left in (("image_encoder.", 6, "patch_embed.weight"), ("mask_decoder.", 5, "mask.weight")):
        layers = {
            name for name in training.parameters if name.startswith(part) and training.parameters[name].ndim > 1
        }
        assert (len(layers), layers - muons) == (count, {part + left})
    assert all(name.endswith(".weight") and training.parameters[name].ndim > 1 for name in muons)
    assert not groups["muon"] & groups["adamw"]
    assert groups["muon"] | groups["adamw"] == {id(parameter) for parameter in training.unrolled.learned.values()}


@pytest.mark.parametrize("layers", [1, 2])
def test_how_the_last_of_several_layers_finds_pointers_is_not_learned(tmp_path, layers):
    training = Training(replace(SHORT, config=config_file(tmp_path / "mine.yaml", num_layers=layers)))
    before = {name: parameter.detach().clone() for name, parameter in training.parameters.items()}
    training.advance()
    stayed = {name for name, value in before.items() if torch.equal(training.parameters[name], value)}
    # A prompted frame's features get `no_mem_embed` instead.
    stayed.remove("no_mem_pos_enc")
    # The norm before the queries has no gradient but rounding errors.
    stayed -= {f"memory_attention.layers.1.norm2.{kind}" for kind in ("weight", "bias")}
    attention = "memory_attention.layers.1.cross_attn_image"
    settled = {f"{attention}.{each}_proj.{kind}" for each in "qk" for kind in ("weight", "bias")}
    assert stayed == (settled if layers == 2 else set())


def test_a_step_takes_the_smallest_numbers_for_zero(monkeypatch):
    training, flushing = Training(SHORT), []
    descend, now = training._descend, unrolled_module.is_flushing
    monkeypatch.setattr(training, "_descend", lambda *given: flushing.append(now()) or descend(*given))
    training.advance()
    assert flushing == [True]


def test_an_interrupted_save_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    train(tmp_path, SHORT, stop_at=1, show_progress=False)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def interrupted(state, path):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(training_module.torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, SHORT, show_progress=False)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_checkpoint_that_is_none_or_of_another_recipe_is_refused(tmp_path):
    train(tmp_path, SHORT, stop_at=1, show_progress=False)
    with pytest.raises(ValueError, match="another recipe"):
        Training.resume(tmp_path / CHECKPOINT, Recipe(steps=4, frames=4, lengths=(2, 3), warmup=3))
    (tmp_path / CHECKPOINT).write_bytes(b"half a checkp")
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        Training.resume(tmp_path / CHECKPOINT, SHORT)


def config_file(path, **changes):
    """The tracker's config with other values, by their names."""
    config = yaml.safe_load(resources.files("memory_attention.configs").joinpath("tracker.yaml").read_text())
    model = config["model"]
    layer = model["memory_attention"]["layer"]
    for name, value in changes.items():
        nodes = (layer["cross_attention"], layer["self_attention"], layer, model["memory_attention"])
        # What no node has yet is the model's own.
        for node in [node for node in nodes if name in node] or [model]:
            node[name] = value
    path.write_text(yaml.safe_dump(config))
    return str(path)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The folder of a training of two steps."""
    folder = tmp_path_factory.mktemp("begun")
    train(folder, SHORT, stop_at=2, show_progress=False)
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dim_feedforward": 40}, r"parameters: memory_attention\.layers\.0\.linear1\.\w+ has shape"),
        ({"num_layers": 1}, "extra parameter memory_attention.layers.1"),
        ({"num_layers": 3}, "missing parameter memory_attention.layers.2"),
        ({"no_obj_embed_spatial": False}, "extra parameter no_obj_embed_spatial"),
    ],
)
def test_a_checkpoint_of_other_parameters_is_refused_and_kept(tmp_path, changes, words):
    config, folder = tmp_path / "mine.yaml", tmp_path / "out"
    recipe = replace(SHORT, config=config_file(config))
    train(folder, recipe, stop_at=1, show_progress=False)
    before = contents(folder)
    config_file(config, **changes)
    with pytest.raises(ValueError, match=f"checkpoint.pt does not fit the config .*{words}.*another folder"):
        train(folder, recipe, show_progress=False)
    assert contents(folder) == before


@pytest.mark.parametrize("entry", ["parameters", "average", "muon", "adamw", "step", "recipe"])
def test_a_checkpoint_with_any_entry_damaged_is_refused_and_kept(begun, tmp_path, entry):
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    entry, kind = ("optimisers", entry) if entry in ("muon", "adamw") else (entry, "adamw")
    moment = {"muon": "momentum", "adamw": "exp_avg"}[kind]
    none = {0: {moment: torch.zeros(1), "step": torch.tensor(1.0)}}
    damaged = {
        "parameters": {name: tensor[:1] for name, tensor in state["parameters"].items()},
        "average": {},
        "optimisers": state["optimisers"] | {kind: state["optimisers"][kind] | {"state": none}},
        "step": SHORT.steps + 1,
        "recipe": state["recipe"] | {"lengths": []},
    }
    torch.save(state | {entry: damaged[entry]}, tmp_path / CHECKPOINT)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=rf"checkpoint.pt.*{entry if entry != 'recipe' else 'lengths'}"):
        train(tmp_path, SHORT, show_progress=False)
    assert contents(tmp_path) == before


@given(data=st.data())
@settings(max_examples=15)
def test_a_damaged_log_is_refused_and_kept(tmp_path_factory, data):
    """Cut anywhere, with a line lost, or with bytes that are no text; what is whole, or gone, is gone on with."""
    folder = tmp_path_factory.mktemp("log")
    rows = [dict.fromkeys(COLUMNS, 0.25) | {"step": step} for step in range(1, 6)]
    write_log(folder / LOG, rows)
    whole = (folder / LOG).read_bytes()
    lines = whole.splitlines(keepends=True)
    lost = data.draw(st.integers(1, 5))
    damaged = {
        "cut": whole[: data.draw(st.integers(len(lines[0]) + 1, len(whole) - 8))],
        "line lost": b"".join(lines[:lost] + lines[lost + 1 :]) if lost > 1 else b"".join(lines[:3] + lines[4:]),
        "no text": whole[:-9] + data.draw(st.sampled_from([b"\xff\xfe", b"\0", b'"'])) + whole[-9:],
        "no log": b"<html></html>\n1\n",
    }
    (folder / LOG).write_bytes(damaged[data.draw(st.sampled_from(sorted(damaged)))])
    before = contents(folder)
    with pytest.raises(ValueError, match=r"log\.csv: .*; move it away to go on"):
        read_log(folder / LOG, 5)
    assert contents(folder) == before
    assert read_log(folder / "none.csv", 5) == []
    # What the checkpoint does not know yet is made anew; one that was moved away on the way begins later.
    begins = data.draw(st.integers(0, 4))
    write_log(folder / LOG, rows[begins:])
    for steps in range(begins, 6):
        assert [row["step"] for row in read_log(folder / LOG, steps)] == list(range(begins + 1, steps + 1))


def test_a_log_keeps_every_number_of_a_step(tmp_path):
    write_log(tmp_path / LOG, [dict.fromkeys(COLUMNS, 0.5) | {"step": 1_234_567}])
    assert read_log(tmp_path / LOG, 1_234_567)[0]["step"] == 1_234_567


def test_a_damaged_log_stops_training_before_a_step(begun, tmp_path):
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    lines = (tmp_path / LOG).read_text().splitlines()
    (tmp_path / LOG).write_text("\n".join(lines[:-1]) + "\n")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="lacks some of the steps up to 2"):
        train(tmp_path, SHORT, show_progress=False)
    assert contents(tmp_path) == before
    (tmp_path / LOG).unlink()
    train(tmp_path, SHORT, show_progress=False)
    assert [row["step"] for row in read_log(tmp_path / LOG)] == [3, 4]


def test_what_drops_out_follows_from_seed_and_step(tmp_path):
    """Interrupted or not the same weights; others than without dropout."""
    recipes = {
        dropout: replace(SHORT, config=config_file(tmp_path / f"{dropout}.yaml", dropout=dropout), steps=3)
        for dropout in (0.0, 0.3)
    }
    paths = [train(tmp_path / "straight", recipes[0.3], show_progress=False)]
    train(tmp_path / "parts", recipes[0.3], stop_at=1, show_progress=False)
    paths.append(train(tmp_path / "parts", recipes[0.3], show_progress=False))
    paths.append(train(tmp_path / "without", recipes[0.0], show_progress=False))
    straight, parts, without = (safetensors.numpy.load_file(path) for path in paths)
    for name, array in straight.items():
        np.testing.assert_array_equal(parts[name], array, err_msg=name)
    assert any(np.any(straight[name] != without[name]) for name in straight)


def test_each_step_drops_out_anew_and_leaves_the_users_draws_alone(tmp_path, monkeypatch):
    """The losses of one clip in several steps, each from the first weights."""
    clips = unrolled_module.training_clips(SHORT, 0)
    monkeypatch.setattr(unrolled_module, "training_clips", lambda recipe, step, part, parts: clips)
    config = config_file(tmp_path / "half.yaml", dropout=0.5)
    losses, first = [], Training(replace(SHORT, config=config)).whole
    for seed, step in ((7, 0), (7, 0), (7, 1), (8, 0)):
        training = Training(replace(SHORT, config=config, seed=seed))
        training._restore(first)
        training.step = step
        before = torch.get_rng_state()
        losses.append(training.advance()["loss"])
        assert torch.equal(torch.get_rng_state(), before)
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"steps": 0}, "steps is 0"),
        ({"objects": 1.5}, "objects is 1.5"),
        ({"lengths": ()}, "lengths is"),
        ({"lengths": (2, 1)}, "lengths is .* expected numbers from 2 to 8, frames and span"),
        ({"lengths": (2, 9)}, "lengths is .* expected numbers from 2 to 8, frames and span"),
        ({"warmup": 0}, "warmup is 0"),
        ({"hard": 1.5}, "hard is 1.5, expected a probability"),
        ({"dropped_at_once": -0.1}, "dropped_at_once is -0.1"),
        ({"dropped_singly": float("nan")}, "dropped_singly is nan"),
        ({"resize": 0.5}, "resize is 0.5, expected a factor"),
        ({"hidden_weight": 0}, "hidden_weight is 0"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_by_name(numbers, words):
    with pytest.raises((TypeError, ValueError), match=words):
        Recipe(**{"frames": 10, "span": 8, **numbers})


def test_memories_are_missing_most_halfway_through():
    recipe = Recipe(steps=40, warmup=1, dropped_at_once=0.6, dropped_singly=0.2)
    at_once, singly = zip(*map(recipe.dropped, range(40)), strict=True)
    assert (at_once[0], singly[0]) == (0, 0)
    assert recipe.dropped(20) == (0.6, 0.2)
    assert np.all(np.diff(at_once[:21]) > 0)
    np.testing.assert_allclose(at_once[1:], at_once[:0:-1])
    np.testing.assert_allclose(np.divide(at_once[1:], singly[1:]), 3)


def test_two_trainings_in_one_folder_are_refused(tmp_path):
    with FileLock(tmp_path / "training.lock"), pytest.raises(ValueError, match="another training is running"):
        train(tmp_path, SHORT, show_progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["training.lock"]


def test_a_config_that_is_no_trackers_is_refused_before_work(tmp_path):
    with pytest.raises(ValueError, match="config tiny cannot be trained: image_size is 64, expected 128"):
        train(tmp_path / "new", replace(SHORT, config="tiny"), show_progress=False)
    assert not (tmp_path / "new").exists()
