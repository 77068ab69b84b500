"""What PyTorch does not promise: in one file, and where it is gone the plain way is taken."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest
import torch
from torch import nn

import memory_attention as ma
from checks import error
from memory_attention import accelerated
from memory_attention.accelerated import attention, choice, feed_forward, kernels, threads, tracing, ways
from memory_attention.accelerated.choice import Form
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound

CONFIG = ma.load_config("tiny")
FAST_WAYS = {
    "forms": {Form(True, "tiled", True)},
    "queries": {True},
    "at_once": {7},
    "pools": 1,
    "pick": "flash_attention",
}
"""What cross-attention and feed-forward take where no problem is small, and how often threads are asked for."""
PLAIN = {"queries": {False}, "at_once": {None}, "pools": 0}
PLAIN_WAYS = {
    "torch._C._functorch.peek_interpreter_stack": PLAIN | {"forms": {Form(False, "pytorch")}},
    "torch.fx.experimental.proxy_tensor.get_proxy_mode": PLAIN | {"forms": {Form(False, "pytorch")}},
    "torch.autograd.forward_ad._current_level": PLAIN | {"forms": {Form(False, "math")}},
    "torch.utils._python_dispatch._get_current_dispatch_mode": {"pools": 0},
    "torch.nn.modules.module._has_any_global_hook": {"forms": {Form(True, "tiled")}, "at_once": {None}},
    "torch._fused_sdp_choice": {"pick": "own choice"},
}
"""What changes where a name is gone."""


def take_away(name: str, patch: pytest.MonkeyPatch) -> None:
    module, _, own = name.rpartition(".")
    patch.delattr(importlib.import_module(module), own)


def ways_taken(patch: pytest.MonkeyPatch) -> dict[str, object]:
    """The ways that a network takes where no problem is small, after a look at its values."""
    inputs = draw_inputs(CONFIG, memories=2, pointers=1, objects=2, grid=(3, 5))
    seen = {"forms": set(), "queries": set(), "at_once": set(), "pools": 0}
    ask_form, ask_tokens, ask_pool = attention.way_of_attention, feed_forward.tokens_at_once, threads._workers

    def see_form(layer, *asked):
        form = ask_form(layer, *asked)
        if layer.k_proj.in_features == CONFIG.memory_attention.memory_dim:
            seen["forms"].add(form)
        return form

    def see_queries(layer, *asked):
        if layer.k_proj.in_features == CONFIG.memory_attention.memory_dim:
            seen["queries"].add(ask_queries(layer, *asked))
        # The other ways are looked at too.
        return False

    def see_tokens(*asked):
        seen["at_once"].add(ask_tokens(*asked))
        return ask_tokens(*asked)

    def see_pool(count):
        seen["pools"] += 1
        return ask_pool(count)

    ask_queries = attention.queries_go_to_memory_space
    patch.setattr(attention, "queries_go_to_memory_space", see_queries)
    patch.setattr(choice, "LEAST_GAIN", 0)
    patch.setattr(choice, "FEW_LOGITS", 0)
    patch.setattr(feed_forward, "TOKENS_AT_ONCE", 7)
    patch.setattr(attention, "way_of_attention", see_form)
    patch.setattr(feed_forward, "tokens_at_once", see_tokens)
    patch.setattr(threads, "_workers", see_pool)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    result = ma.load(CONFIG, "accelerated", device="cpu")(*inputs)
    torch.set_num_threads(before)
    assert error(result, ma.load(CONFIG, "reference")(*inputs)) <= bound("float32", 10)
    few = torch.zeros(1, 1, 2, 8)
    return seen | {"pick": kernels.pytorchs_pick(few, few, few)}


def test_where_all_names_are_there_the_fast_ways_are_taken(monkeypatch):
    assert ways_taken(monkeypatch) == FAST_WAYS


@pytest.mark.parametrize("name", tracing.PRIVATE)
def test_where_a_private_name_is_gone_the_plain_way_is_taken(name, monkeypatch):
    take_away(name, monkeypatch)
    assert ways_taken(monkeypatch) == FAST_WAYS | PLAIN_WAYS[name]


@pytest.mark.parametrize("owner", sorted({name.rpartition(".")[0] for name in tracing.PRIVATE} - {"torch"}))
def test_where_a_private_module_is_gone_its_names_are(owner, monkeypatch):
    names = [name for name in tracing.PRIVATE if name.startswith(owner)]

    def no_such_module(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", no_such_module)
    assert [tracing._owner(name) for name in names] == [None] * len(names)
    monkeypatch.undo()
    for name in names:
        monkeypatch.setitem(tracing._OWNERS, name, None)
    assert ways_taken(monkeypatch) == FAST_WAYS | {k: v for name in names for k, v in PLAIN_WAYS[name].items()}


@pytest.mark.parametrize("hooks", tracing.HOOKS)
def test_a_module_that_keeps_its_hooks_elsewhere_may_be_hooked(hooks, monkeypatch):
    monkeypatch.setattr(tracing, "HOOKS", (*tracing.HOOKS, f"{hooks}_elsewhere"))
    assert ways_taken(monkeypatch) == FAST_WAYS | {
        "forms": {Form(False, "pytorch")},
        "queries": {False},
        "at_once": {None},
        "pools": 0,
    }


@pytest.mark.parametrize("hooks", tracing.HOOKS)
def test_a_hook_of_every_kind_is_seen(hooks):
    module = nn.Linear(3, 2)
    assert tracing.is_plain_linear(module)
    assert not tracing.is_hooked(module)
    getattr(module, f"register{hooks.removesuffix('s').replace('_backward', '_full_backward')}")(lambda *_: None)
    assert not tracing.is_plain_linear(module)
    assert tracing.is_hooked(nn.Linear(2, 3), module)


def test_keys_that_a_hook_of_all_modules_holds_stay_where_that_question_is_gone(monkeypatch):
    layer = accelerated.RoPEAttention(16, 2, kv_in_dim=6, rope_k_repeat=True, feat_sizes=(5, 3)).eval()
    held, memory = [], torch.randn(2, 33, 6)

    def hold(module, args, output):
        if module is layer.k_proj:
            held.append(output)

    handle = nn.modules.module.register_module_forward_hook(hold)
    take_away("torch.nn.modules.module._has_any_global_hook", monkeypatch)
    with torch.no_grad():
        layer(torch.randn(2, 15, 16), memory, memory, num_k_exclude_rope=3)
        handle.remove()
        assert torch.equal(held[0], layer.k_proj(memory))


def test_every_private_name_is_there():
    """A new PyTorch that lacks one makes the fast ways plain: then this says so."""
    for name, versions in tracing.PRIVATE.items():
        assert tracing._private(name) is not None, f"{name}, seen in PyTorch {versions}"


def private_names(source: str) -> set[str]:
    """The names with an underscore before them, of modules and in them, that a source takes from PyTorch."""
    tree = ast.parse(source)
    imported, found = {"torch": "torch"}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "torch" and not node.level:
            imported |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("torch.")}
    for node in ast.walk(tree):
        parts = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in imported:
            found.add(".".join([imported[node.id], *parts]))
    found |= set(imported.values())
    return {n for n in found if any(p.startswith("_") or p == "experimental" for p in n.split("."))}


def test_private_names_stand_in_one_file():
    planted = "from torch.utils._python_dispatch import _mode\nfrom torch.autograd import forward_ad\n"
    assert private_names(planted + "torch._x, forward_ad._current_level, torch.nn.Linear\n") == {
        "torch.utils._python_dispatch._mode",
        "torch._x",
        "torch.autograd.forward_ad._current_level",
    }
    folder = Path(inspect.getfile(ways)).parent
    assert {path.name: private_names(path.read_text()) for path in folder.glob("*.py")} == {
        path.name: set() for path in folder.glob("*.py")
    }
    assert all(name.startswith("torch.") for name in tracing.PRIVATE)
    assert PLAIN_WAYS.keys() == tracing.PRIVATE.keys()
