"""Object pointers that begin as memory tokens."""

from dataclasses import replace

import numpy as np
import pytest

from memory_attention.configs import load_config
from memory_attention.tracker import initial_weights
from memory_attention.tracker.learning import pointing
from memory_attention.tracker.learning.recipe import Recipe
from memory_attention.tracker.weights import write_tracker

pytest.importorskip("skimage", reason="the clips are made of scikit-image's photographs")

CONFIG = load_config("tracker")
MEMORY = CONFIG.memory_attention.memory_dim


@pytest.fixture(scope="module")
def weights():
    return initial_weights(CONFIG, seed=2)


def cosines(one, others):
    unit = [array / np.linalg.norm(array, axis=-1, keepdims=True) for array in (one, others)]
    return unit[0] @ unit[1].T


def test_a_pointer_looks_like_its_own_objects_memory_and_its_last_token_like_none(weights, monkeypatch):
    """Of objects in other clips than those that it was set by: each pointer is nearest to its own object."""
    monkeypatch.setattr(pointing, "CLIPS", 12)
    own = {name: array.copy() for name, array in weights.items()}
    pointing.set_pointers(CONFIG, own, np.random.default_rng(0))
    seen, inside, outside = pointing.looked_at(CONFIG, own, np.random.default_rng(1))
    hidden = np.maximum(seen @ own["obj_ptr_proj.0.weight"].T + own["obj_ptr_proj.0.bias"], 0)
    pointer = hidden @ own["obj_ptr_proj.1.weight"].T + own["obj_ptr_proj.1.bias"]
    first, last = pointer[:, :MEMORY], pointer[:, -MEMORY:]
    typical = inside.mean(axis=0)
    nearest = cosines(first - first.mean(axis=0), inside - typical).argmax(axis=1)
    assert np.mean(nearest == np.arange(len(seen))) > 0.5
    away = outside.mean(axis=0) - typical
    assert np.mean((first - typical) @ away) < 0
    assert np.mean((last - typical) @ away) > np.mean((outside - typical) @ away)


def test_training_starts_from_other_weights_with_pointers_set_by_the_seed(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(pointing, "CLIPS", 2)
    path = tmp_path / "start.safetensors"
    write_tracker(path, weights, {"config": "tracker"})
    recipe = Recipe.with_memories_missing(str(path), seed=3)
    first, again, other = (
        pointing.first_weights(CONFIG, each) for each in (recipe, recipe, replace(recipe, seed=4))
    )
    for name, array in weights.items():
        np.testing.assert_array_equal(first[name], again[name], err_msg=name)
        kept = not name.startswith("obj_ptr")
        assert np.array_equal(first[name], array) == kept, name
    assert not np.array_equal(first["obj_ptr_proj.0.weight"], other["obj_ptr_proj.0.weight"])


def test_weights_of_another_config_are_no_start(weights, tmp_path):
    path = tmp_path / "start.safetensors"
    write_tracker(path, weights, {"config": "tracker"})
    with pytest.raises(ValueError, match="start is of config tracker, expected tiny, which is trained"):
        pointing.first_weights(load_config("tiny"), Recipe.with_memories_missing(str(path)))
