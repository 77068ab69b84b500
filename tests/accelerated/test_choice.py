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
