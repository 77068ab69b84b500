"""What a step teaches, part by part."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from memory_attention.configs import load_config
from memory_attention.tolerances import bound
from memory_attention.tracker.learning import recipe as recipe_module
from memory_attention.tracker.learning.initial import initial_weights
from memory_attention.tracker.learning.recipe import Recipe
from memory_attention.tracker.learning.unrolled import (
    Unrolled,
    is_flushing,
    mask_loss,
    smallest_are_zero,
    training_clips,
)

pytest.importorskip("skimage", reason="the clips are made of scikit-image's photographs")

LARGEST_LOGIT = 50.0
"""Of the attention that pointers begin with: `POINTED` × `LOUDNESS` × `OBJECT` / √64, and some more."""
SHORT = Recipe(steps=4, frames=6, lengths=(2, 3), warmup=2)


def begun(recipe=SHORT):
    return Unrolled(recipe, initial_weights(load_config(recipe.config), recipe.seed))


def test_a_hidden_object_counts_so_many_times():
    rng = np.random.default_rng(4)
    logits = torch.from_numpy(rng.normal(size=(3, 5, 6)))
    masks = torch.from_numpy((rng.random((3, 5, 6)) < 0.4).astype(np.float64))
    masks[1] = 0
    each = [mask_loss(logits[n : n + 1], masks[n : n + 1], 1.0) for n in range(3)]
    expected = (each[0] + 2.5 * each[1] + each[2]) / 3
    torch.testing.assert_close(mask_loss(logits, masks, 2.5), expected)


def test_what_is_missing_in_training_follows_the_recipe(monkeypatch):
    """Where every memory is, a frame sees nothing but pointers."""
    seen = []
    monkeypatch.setattr(Recipe, "dropped", lambda recipe, step: (1.0, 0.0) if step else (0.0, 0.0))
    unrolled = begun()
    look = unrolled.tracker.attention.__class__.__call__
    monkeypatch.setattr(
        unrolled.tracker.attention.__class__,
        "__call__",
        lambda model, *inputs: seen.append((len(inputs[1]), inputs[4])) or look(model, *inputs),
    )
    unrolled.part(0, 0)
    unrolled.part(1, 0)
    assert min(memory - pointers for memory, pointers in seen[:1]) > 0
    assert {memory - pointers for memory, pointers in seen[1:]} == {0}


def test_training_judges_no_object_hidden():
    """The few pixels of an object that is found are to grow, or to go, by what the loss says of each."""
    tracker = begun().tracker
    bank = tracker.new_bank()
    tracker.show(bank, torch.ones(2, 5, 6))
    assert bank.least_pixels.tolist() == [0, 0]


def test_the_parts_of_a_step_add_up_to_the_step(monkeypatch):
    """Three clips in parts of two and one, and at once: the same losses, as many IoUs, the same gradients."""
    unrolled = begun(replace(SHORT, dropped_at_once=0.0, dropped_singly=0.0))
    assert unrolled.recipe.clips(0) == 3
    parts = unrolled.parts(0)
    monkeypatch.setattr(recipe_module, "PARTS", 1)
    (whole,) = unrolled.parts(0)
    assert [len(part.ious) for part in parts] == [4, 2]
    assert len(whole.ious) == 6
    np.testing.assert_allclose(sum(part.loss for part in parts), whole.loss, rtol=bound("float32"))
    assert whole.gradients.keys() == parts[0].gradients.keys() == parts[1].gradients.keys()
    # A query that gives all to one pointer has no gradient but rounding errors.
    rounded = np.finfo(np.float32).eps * max(abs(gradient).max() for gradient in whole.gradients.values())
    for name, gradient in whole.gradients.items():
        found = sum(part.gradients[name] for part in parts)
        atol = max(rounded, bound("float32", LARGEST_LOGIT) * abs(gradient).max())
        np.testing.assert_allclose(found, gradient, atol=atol, err_msg=name)


def test_every_clip_is_in_one_part_of_its_step():
    whole, masks = training_clips(SHORT, 0)
    parts = [training_clips(SHORT, 0, part, 2) for part in range(2)]
    # Clip 0 and 2 are of the first part, 1 of the second.
    np.testing.assert_array_equal(np.concatenate([frames for frames, _ in parts], axis=1)[:, [0, 2, 1]], whole)
    objects = [masks[:, first : first + SHORT.objects] for first in range(0, 3 * SHORT.objects, SHORT.objects)]
    np.testing.assert_array_equal(parts[1][1], objects[1])


@pytest.mark.parametrize("flushing", [False, True])
def test_a_part_leaves_threads_draws_and_smallest_numbers_as_they_were(flushing, threads):
    unrolled = begun()
    state = torch.get_rng_state()
    threads(3)
    torch.set_flush_denormal(flushing)
    try:
        unrolled.part(0, 1)
        assert torch.get_num_threads() == 3
        assert is_flushing() == flushing
    finally:
        torch.set_flush_denormal(False)
    assert torch.equal(torch.get_rng_state(), state)


def test_training_takes_the_smallest_numbers_for_zero(monkeypatch):
    small = torch.tensor([1e-39])
    assert small.mul(1).item() > 0
    with smallest_are_zero():
        assert small.mul(1).item() == 0
    flushing = []
    follow = Unrolled._follow
    monkeypatch.setattr(Unrolled, "_follow", lambda *given: flushing.append(is_flushing()) or follow(*given))
    begun().part(0, 0)
    assert flushing == [True]
