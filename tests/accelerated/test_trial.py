"""Forms are tried on numbers of a problem's sizes, and all of them compute the same."""

import numpy as np
import pytest
import torch

from cases import drawn
from memory_attention.accelerated import trial
from memory_attention.accelerated.position import Places
from memory_attention.accelerated.problem import Form, Problem
from memory_attention.tolerances import bound

CPU = torch.device("cpu")


def test_a_trial_takes_time_or_says_that_it_cannot():
    small = Problem(2, 2, 6, 12, 8, 4, torch.float32, CPU, (2, 3))
    for form in (Form(True, "math"), Form(False, "flash"), Form(True, "axial")):
        assert 0 < trial.seconds_of(form, small) < 10
    assert trial.seconds_of(Form(True, "cudnn"), small) == float("inf")


def test_whatever_a_kernel_raises_it_is_not_to_be_had(monkeypatch):
    class OutOfResources(Exception):
        """As Triton has it."""

    def refuse(*_, **__):
        raise OutOfResources

    monkeypatch.setattr(trial, "axial_attention", refuse)
    problem = Problem(1, 1, 6, 6, 8, 4, torch.float32, CPU, (2, 3))
    assert trial.seconds_of(Form(True, "axial"), problem) == float("inf")


def test_a_trial_leaves_the_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.randn(3)
    torch.manual_seed(0)
    trial.seconds_of(Form(True, "math"), Problem(1, 1, 4, 4, 4, 4, torch.float32, CPU))
    assert torch.equal(torch.randn(3), expected)


def test_the_same_is_tried_once(monkeypatch):
    turns = []
    monkeypatch.setattr(trial, "_attend", lambda *given: turns.append(given))
    problem = Problem(1, 1, 5, 10, 12, 4, torch.float32, CPU)
    assert trial.seconds_of(Form(True, "math"), problem) == trial.seconds_of(Form(True, "math"), problem)
    assert len(turns) == 5


def test_the_fastest_turn_counts(monkeypatch):
    """A turn that something else disturbed says nothing: here they take 5, 2, 9, 3 and 7 seconds."""
    clock = iter(np.cumsum([0, 5, 10, 2, 10, 9, 10, 3, 10, 7]).tolist())
    monkeypatch.setattr(trial.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(trial, "_attend", lambda *given: None)
    assert trial.seconds_of(Form(True, "math"), Problem(1, 1, 3, 6, 20, 4, torch.float32, CPU)) == 2


@pytest.mark.parametrize(("space", "width"), [(True, 4), (False, 8)])
def test_a_trial_has_the_sizes_of_the_problem(monkeypatch, space, width):
    shapes = []
    monkeypatch.setattr(
        trial,
        "scaled_dot_product_attention",
        lambda *given, kernel: shapes.append([tuple(x.shape) for x in given]),
    )
    trial.seconds_of(Form(space, "efficient"), Problem(2, 3, 5, 7, 8, 4, torch.float32, CPU), turns=1)
    assert shapes == [[(2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, width)]]


@pytest.mark.parametrize("places", [None, Places(2, 3, 2, 100.0)])
def test_every_form_does_the_same_work(places):
    """Means of memories, which values that are projected are the projection of."""
    query, memory = drawn(0, 2, 3, 6, 8), drawn(1, 2, 12, 4)
    weight, bias = drawn(2, 24, 4), drawn(3, 24)
    means = trial._attend(Form(True, "math"), query, memory, weight, bias, places)
    exact = {"rtol": 0, "atol": bound("float64", 100.0)}
    torch.testing.assert_close(
        trial._attend(Form(True, "axial"), query, memory, weight, bias, places), means, **exact
    )
    projected = means @ weight.unflatten(0, (3, -1)).mT + bias.view(3, 1, -1)
    torch.testing.assert_close(
        trial._attend(Form(False, "math"), query, memory, weight, bias, places), projected, **exact
    )
