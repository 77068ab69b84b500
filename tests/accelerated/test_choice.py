"""Which form an attention takes, by its size, dtype and device."""

import functools
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memory_attention.accelerated import choice, kernels
from memory_attention.accelerated.choice import PLAIN, choose_axial, choose_form
from memory_attention.accelerated.position import Places
from memory_attention.accelerated.problem import Form, Problem
from memory_attention.rules.memory_space import Tokens, queries_gain

CPU = torch.device("cpu")
GPU = torch.device("cuda")


def problem(queries, keys, memory_dim=64, dtype=torch.float32, device=CPU):
    return Problem(1, 1, queries, keys, 256, memory_dim, dtype, device)


def test_the_choice_on_a_cpu():
    assert choose_form(problem(4096, 28736)) == Form(True, "tiled")
    assert choose_form(problem(4096, 28736, dtype=torch.float64)) == Form(True, "tiled")
    # Small, as wide in memory as in the head, or in a dtype that tiles do not take: PyTorch's fused kernel.
    assert choose_form(problem(256, 576)) == PLAIN
    assert choose_form(problem(4096, 4096, memory_dim=256)) == PLAIN
    assert choose_form(problem(4096, 28736, dtype=torch.bfloat16)) == PLAIN
    assert choose_form(problem(4096, 28736), kernel="pytorch") == PLAIN
    assert choose_form(problem(4096, 28736), kernel="flash") == Form(False, "flash")
    assert choose_form(problem(4096, 28736), kernel="math") == Form(True, "math")
    assert choose_form(problem(4096, 28736), memory_space=False) == PLAIN
    assert choose_form(problem(16, 16), memory_space=True) == Form(True, "pytorch")


@pytest.fixture
def pretend(monkeypatch):
    """A card on which forms take the seconds that a test writes down, and all others are not to be had."""
    seconds, tried = {}, []

    @functools.cache
    def seconds_of(form, problem):
        tried.append((form, problem))
        return seconds.get(form, float("inf"))

    monkeypatch.setattr(choice, "seconds_of", seconds_of)
    monkeypatch.setattr(kernels, "_has_triton", lambda: True)
    return SimpleNamespace(seconds=seconds, tried=tried)


def on_a_card(keys=28736, queries=4096, memory_dim=64, dtype=torch.bfloat16, batch=1):
    return Problem(batch, 1, queries, keys, 256, memory_dim, dtype, GPU, (64, queries // 64))


@pytest.mark.parametrize("kernel", ["cudnn", "efficient", "flex"])
def test_values_in_memory_space_go_to_the_fastest_kernel_that_takes_unequal_widths(pretend, kernel):
    pretend.seconds.update({Form(True, name): 2.0 for name in ("cudnn", "efficient", "flex")})
    pretend.seconds.update({Form(False, "flash"): 1.5, Form(True, kernel): 1.0})
    assert choose_form(on_a_card()) == Form(True, kernel)
    assert choose_form(on_a_card(), memory_space=False) == Form(False, "flash")
    assert choose_form(on_a_card(keys=4096, memory_dim=256)) == Form(False, "flash")


def test_where_nothing_can_be_tried_pytorch_picks(pretend):
    assert choose_form(on_a_card()) == PLAIN
    assert choose_form(on_a_card(), memory_space=True) == Form(True, "pytorch")


def test_queries_go_to_memory_space_only_where_that_was_the_fastest(pretend, monkeypatch):
    pretend.seconds.update({Form(False, "flash"): 2.0, Form(True, "cudnn"): 1.0, Form(True, "axial"): 1.1})
    assert not choose_axial(on_a_card(), None)
    pretend.seconds[Form(True, "axial")] = 0.9
    # The other size has not been tried yet.
    assert choose_axial(on_a_card(keys=14368), None)
    assert not choose_axial(on_a_card(keys=14368), None, memory_space=False)
    assert not choose_axial(on_a_card(keys=14368), None, kernel="cudnn")
    # Whoever needs keys gets the fastest of the other forms.
    assert choose_form(on_a_card(keys=14368)) == Form(True, "cudnn")
    assert not choose_axial(on_a_card(keys=14368, dtype=torch.float64), None)
    monkeypatch.setattr(kernels, "_has_triton", lambda: False)
    assert not choose_axial(on_a_card(keys=14368), None)


def test_what_must_be_compiled_is_not_tried_for_small_problems(pretend):
    choose_axial(on_a_card(256 * 31, 256), None)
    assert {form.kernel for form, _ in pretend.tried} == {"flash", "efficient", "cudnn"}
    choose_axial(on_a_card(256 * 33, 256), None)
    assert {form.kernel for form, _ in pretend.tried} == {"flash", "efficient", "cudnn", "flex", "axial"}


def test_a_video_is_not_held_up_by_trials(pretend):
    """Its first sixteen frames each have other memories: a trial at the first, the second and the fourth."""
    tokens, new = 4096, []
    for frame in range(1, 17):
        before = len(pretend.tried)
        keys = min(frame, 7) * tokens + 4 * min(frame, 15)
        choose_axial(on_a_card(keys), None)
        choose_form(on_a_card(keys))
        if len(pretend.tried) > before:
            new.append(frame)
    assert new == [1, 2, 4]
    assert len(pretend.tried) == len(set(pretend.tried)) == 3 * 8


@given(batch=st.integers(1, 40), queries=st.integers(1, 5000), keys=st.integers(1, 200_000))
def test_a_trial_is_of_about_the_size_and_never_above_it(batch, queries, keys):
    given_ = Problem(batch, 2, queries, keys, 8, 4, torch.float32, GPU)
    rounded = given_.rounded
    assert batch / 2 < rounded.batch <= batch
    assert keys / 2 < rounded.keys <= keys
    assert rounded.keys < queries or rounded.keys % queries == 0
    assert rounded.rounded == rounded
    assert rounded == given_._replace(batch=rounded.batch, keys=rounded.keys)


def test_logits_are_counted_over_objects_and_heads(monkeypatch):
    several = Problem(3, 2, 50, 200, 64, 16, torch.float32, CPU)
    monkeypatch.setattr(choice, "FEW_LOGITS", 3 * 2 * 50 * 200)
    assert choose_form(several) == Form(True, "tiled")
    monkeypatch.setattr(choice, "FEW_LOGITS", 3 * 2 * 50 * 200 + 1)
    assert choose_form(several) == PLAIN


def test_two_memories_of_a_32_by_32_grid_are_large():
    assert choose_form(problem(32 * 32, 2 * 32 * 32)) == Form(True, "tiled")
    assert choose_form(problem(32 * 32, 2 * 32 * 32 - 1)) == PLAIN


def places(side, frames):
    return Places(side, side, frames, 10000.0)


def test_queries_go_to_memory_space_where_it_is_so_much_less_work():
    """At full size from five memories on."""
    for frames in range(1, 9):
        assert choose_axial(problem(4096, frames * 4096 + 64), places(64, frames)) == (frames > 4), frames
    full, grid = problem(4096, 28736), places(64, 7)
    assert choose_axial(full._replace(dtype=torch.float64), grid)
    assert choose_axial(full, grid, kernel="axial")
    assert choose_axial(full, grid, memory_space=True)
    for kernel in ("tiled", "pytorch", "math"):
        assert not choose_axial(full, grid, kernel)
    for kernel in (None, "axial"):
        assert not choose_axial(full, grid, kernel, memory_space=False)
        assert not choose_axial(full._replace(dtype=torch.bfloat16), grid, kernel)
        assert not choose_axial(full._replace(device=torch.device("mps")), grid, kernel)
        # Where memories are wider than heads, values are projected.
        assert not choose_axial(full._replace(memory_dim=300), grid, kernel)


def test_the_least_gain_is_measured_on_the_count(monkeypatch):
    tokens = Tokens(15, 2 * 15, 3, (3, 5))
    small = Problem(1, 2, 15, 33, 64, 4, torch.float32, CPU)
    gain = queries_gain(tokens, 64, 4)
    monkeypatch.setattr(choice, "FEW_LOGITS", 0)
    for least, chosen in ((gain - 1e-9, True), (gain, False)):
        monkeypatch.setattr(choice, "LEAST_GAIN", least)
        assert choose_axial(small, Places(3, 5, 2, 100.0)) == chosen


def test_small_problems_keep_their_queries_where_they_are():
    tokens = 16 * 16
    assert not choose_axial(problem(tokens, 7 * tokens), places(16, 7))
    assert choose_axial(problem(tokens, 7 * tokens), places(16, 7), kernel="axial")


def test_keys_without_places_meet_one_query_each():
    """An attention without rotation: a quarter of the work, and no grid."""
    assert choose_axial(problem(4096, 4096), None)


def test_a_trace_leaves_the_kernel_to_pytorch():
    """A CPU's values stay in memory space for the tiles' sake only, a GPU's for any kernel."""
    full = problem(4096, 28736)
    assert choose_form(full, traced=True) == PLAIN
    assert choose_form(full._replace(device=GPU), traced=True) == Form(True, "pytorch")
    assert choose_form(problem(4096, 4096, 256, device=GPU), traced=True) == PLAIN
    assert choose_form(full._replace(device=torch.device("mps"))) == PLAIN
