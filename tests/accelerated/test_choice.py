"""Which form an attention takes, by its size, dtype and device."""

import torch

from memory_attention.accelerated import choice
from memory_attention.accelerated.choice import PLAIN, Form, Problem, choose_form, fastest_form

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
