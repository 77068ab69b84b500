"""Which form an attention takes, by its size, dtype and device."""

import torch

from memory_attention.accelerated import choice
from memory_attention.accelerated.choice import PLAIN, Form, Problem, choose_axial, choose_form, fastest_form
from memory_attention.accelerated.position import Places
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


def test_the_choice_on_a_gpu_is_the_fastest_that_is_there(monkeypatch):
    seconds = {Form(False, "flash"): 3.0, Form(True, "efficient"): 2.0, Form(True, "cudnn"): 1.0}
    tried = []

    def trial(problem, form):
        tried.append(form)
        return seconds.get(form, float("inf"))

    monkeypatch.setattr(choice, "_trial", trial)
    fastest_form.cache_clear()
    full = problem(4096, 28736, dtype=torch.bfloat16, device=GPU)
    assert choose_form(full) == Form(True, "cudnn")
    count = len(tried)
    assert choose_form(full) == Form(True, "cudnn")
    assert len(tried) == count, "the same problem was tried again"
    assert choose_form(full, memory_space=False) == Form(False, "flash")
    assert choose_form(problem(4096, 4096, 256, device=GPU)) == Form(False, "flash")
    seconds.clear()
    assert choose_form(problem(64, 64, device=GPU)).kernel == "pytorch"
    fastest_form.cache_clear()


def test_a_trial_takes_time_or_says_that_it_cannot():
    small = Problem(1, 2, 8, 8, 8, 4, torch.float32, CPU)
    assert 0 < choice._trial(small, Form(True, "math")) < 10
    assert choice._trial(small, Form(True, "cudnn")) == float("inf")


def test_a_trial_leaves_the_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.randn(3)
    torch.manual_seed(0)
    choice._trial(Problem(1, 1, 4, 4, 4, 4, torch.float32, CPU), Form(True, "math"))
    assert torch.equal(torch.randn(3), expected)


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
    """At full size from four memories on."""
    for frames in range(1, 9):
        assert choose_axial(problem(4096, frames * 4096 + 64), places(64, frames)) == (frames > 3), frames
    full, grid = problem(4096, 28736), places(64, 7)
    assert choose_axial(full._replace(dtype=torch.float64), grid)
    assert choose_axial(full, grid, kernel="axial")
    assert choose_axial(full, grid, memory_space=True)
    for kernel in ("tiled", "pytorch", "math"):
        assert not choose_axial(full, grid, kernel)
    for kernel in (None, "axial"):
        assert not choose_axial(full, grid, kernel, memory_space=False)
        assert not choose_axial(full._replace(dtype=torch.bfloat16), grid, kernel)
        assert not choose_axial(full._replace(device=GPU), grid, kernel)
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


def test_a_trial_has_the_sizes_of_the_problem(monkeypatch):
    shapes = []
    monkeypatch.setattr(
        choice,
        "scaled_dot_product_attention",
        lambda *given, kernel: shapes.append([tuple(x.shape) for x in given]),
    )
    small = Problem(2, 3, 5, 7, 8, 4, torch.float32, CPU)
    for space, width in ((True, 4), (False, 8)):
        choice._trial(small, Form(space, "math"), turns=1)
        assert shapes.pop() == [(2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, width)]
