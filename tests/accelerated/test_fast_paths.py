"""The fast paths: each forced on and off under the rules of equivalence, and the parts they are made of."""

import multiprocessing
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

import memory_attention as ma
from cases import cases, rounded, seeds
from checks import check_equivalence, check_off_the_fast_path, error
from live_bytes import LiveBytes
from memory_attention.accelerated import RoPEAttention, choice, feed_forward, tiles
from memory_attention.accelerated import attention as attention_module
from memory_attention.accelerated.attention import attend_in_memory_space
from memory_attention.accelerated.choice import PLAIN, Form, Problem, choose_form, fastest_form
from memory_attention.accelerated.kernels import KERNELS, scaled_dot_product_attention
from memory_attention.accelerated.position import rotary_table, rotate
from memory_attention.accelerated.tiles import tiled_attention
from memory_attention.inputs import draw_inputs
from memory_attention.reference import attention as reference
from memory_attention.tolerances import bound

TIGHT = bound("float64", 30)
CPU = torch.device("cpu")
GPU = torch.device("cuda")
ON_CPU = ["pytorch", "math", "tiled", "textbook"]
ON_GPU = ["pytorch", "flash", "efficient", "cudnn", "math", "flex", "textbook"]


@pytest.mark.parametrize("memory_space", [None, True, False])
@pytest.mark.parametrize("kernel", [None, *ON_CPU])
@settings(max_examples=25)
@given(case=cases(), dtype=st.sampled_from(["float64", "float32"]))
def test_equivalence_with_every_path_forced(case, dtype, kernel, memory_space):
    check_equivalence(case, "accelerated", "cpu", dtype, kernel, memory_space)


@pytest.mark.parametrize("memory_space", [True, False])
@given(case=cases())
def test_equivalence_in_half_precision(case, memory_space):
    for dtype in ("float16", "bfloat16"):
        check_equivalence(case, "accelerated", "cpu", dtype, None, memory_space)


@given(case=cases())
def test_equivalence_where_no_problem_is_small(case):
    """Small problems take PyTorch's kernel by themselves: without that, the fast paths are the default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "FEW_LOGITS", 0)
        check_equivalence(case, "accelerated", "cpu", "float32")


@given(case=cases())
def test_gradients_and_traces_see_the_same_numbers(case):
    check_off_the_fast_path(case)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("memory_space", [None, False])
@pytest.mark.parametrize("kernel", ON_GPU)
@settings(max_examples=10)
@given(case=cases(max_layers=1), dtype=st.sampled_from(["float32", "float16", "bfloat16"]))
def test_equivalence_with_every_kernel_of_a_gpu(case, dtype, kernel, memory_space):
    try:
        check_equivalence(case, "accelerated", "cuda", dtype, kernel, memory_space)
    except ValueError as refusal:
        # PyTorch's kernels take some dtypes and widths only; what they take must be right.
        if f"kernel is {kernel!r}, which PyTorch does not have" not in str(refusal):
            raise


@pytest.mark.parametrize("saves", [True, False])
@given(case=cases())
def test_the_reference_with_memory_space_forced(case, saves):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "memory_space_saves", lambda *_: saves)
        check_equivalence(case, "reference", "cpu", "float64")


@given(seed=seeds, sizes=st.tuples(*[st.integers(1, 7)] * 6), objects=st.integers(1, 3), shared=st.booleans())
def test_memory_space_is_the_plain_form(seed, sizes, objects, shared):
    heads, queries, keys, width, memory_dim, scale = sizes
    rng = np.random.default_rng(seed)
    query = rng.standard_normal((1 if shared else objects, heads, queries, width)) * scale
    key = rng.standard_normal((objects, heads, keys, width))
    memory = rng.standard_normal((objects, keys, memory_dim))
    weight, bias = rng.standard_normal((heads * width, memory_dim)), rng.standard_normal(heads * width)
    value = reference.split_heads(memory @ weight.T + bias, heads)
    plain = reference.attend(query, key, value)
    ours = reference.attend_in_memory_space(query, key, memory, weight, bias)
    assert error(ours, plain) <= TIGHT
    tensors = [torch.from_numpy(array) for array in (query, key, memory, weight, bias)]
    for kernel in ON_CPU:
        assert error(attend_in_memory_space(*tensors, kernel=kernel).numpy(), plain) <= TIGHT, kernel


def test_dropout_would_break_memory_space():
    """Why training takes the plain form: with weights that do not sum to one the bias is wrong."""
    torch.manual_seed(0)
    attention = RoPEAttention(256, 1, dropout=0.5, kv_in_dim=64, rope_k_repeat=True, feat_sizes=(4, 4)).train()
    attention.memory_space = True
    query, key = torch.randn(1, 1, 16, 256), torch.randn(1, 1, 64, 256)
    assert attention._form(query, key, torch.randn(1, 64, 64)) == PLAIN
    attention.eval()
    with torch.no_grad():
        assert attention._form(query, key, torch.randn(1, 64, 64)).memory_space
    # With gradients the fused kernel's backward is worth more than the FLOPs.
    assert attention._form(query.requires_grad_(), key, torch.randn(1, 64, 64)) == PLAIN


def test_a_module_in_the_place_of_v_proj_is_called():
    """A low-rank adapter, say: its weight alone is not what it computes."""

    class Doubled(torch.nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    attention = RoPEAttention(16, 1, kv_in_dim=4, rope_k_repeat=True, feat_sizes=(4, 4)).eval()
    attention.memory_space = True
    x, memory = torch.randn(1, 16, 16), torch.randn(1, 32, 4)
    with torch.no_grad():
        sound = attention(x, memory, memory)
        doubled = Doubled(4, 16)
        doubled.load_state_dict(attention.v_proj.state_dict())
        attention.v_proj = doubled
        expected = 2 * (sound - attention.out_proj.bias) + attention.out_proj.bias
        torch.testing.assert_close(attention(x, memory, memory), expected)


def test_who_hooks_the_values_sees_them():
    attention = RoPEAttention(16, 1, kv_in_dim=4, rope_k_repeat=True, feat_sizes=(4, 4)).eval()
    attention.memory_space = True
    seen = []
    attention.v_proj.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    with torch.no_grad():
        attention(torch.randn(1, 16, 16), torch.randn(1, 32, 4), torch.randn(1, 32, 4))
    assert seen == [(1, 32, 16)]


@pytest.mark.parametrize("globally", [False, True])
def test_who_hooks_the_keys_keeps_them(globally):
    """Keys are rotated in place only where nobody else holds them."""
    attention = RoPEAttention(16, 1, kv_in_dim=4, rope_k_repeat=True, feat_sizes=(4, 4)).eval()
    memory, seen = torch.randn(1, 32, 4), []

    def keep(module, args, output):
        if module is attention.k_proj:
            seen.append(output)

    register = torch.nn.modules.module.register_module_forward_hook if globally else None
    handle = register(keep) if register else attention.k_proj.register_forward_hook(keep)
    with torch.no_grad():
        attention(torch.randn(1, 16, 16), memory, memory)
    handle.remove()
    with torch.no_grad():
        assert torch.equal(seen[0], attention.k_proj(memory))


def drawn(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@given(
    seed=seeds,
    tiling=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    sizes=st.tuples(*[st.integers(1, 8)] * 6),
    scale=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
)
def test_tiles_of_any_size_are_softmax(seed, tiling, sizes, scale):
    """With logits that need no largest one, and with logits that do."""
    batch, heads, queries, keys, width, value_width = sizes
    query = drawn(seed, batch, heads, queries, width) * scale
    key, value = drawn(seed + 1, batch, heads, keys, width), drawn(seed + 2, batch, heads, keys, value_width)
    truth = reference.scaled_dot_product_attention(query.numpy(), key.numpy(), value.numpy())
    result = tiled_attention(query, key, value, *tiling).numpy()
    assert error(result, truth) <= bound("float64", max(30.0, 30 * scale))


@pytest.fixture
def threads():
    """Sets the number of PyTorch's threads; afterwards it is what it was."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_the_largest_logit_is_kept_only_where_it_must_be(monkeypatch, threads):
    asked = []
    original = tiles._attend_block
    monkeypatch.setattr(tiles, "_attend_block", lambda *a: (asked.append(a[4]), original(*a)))
    threads(1)
    query, key, value = torch.ones(1, 1, 2, 4), torch.ones(1, 1, 3, 4), torch.ones(1, 1, 3, 2)
    # The logits are 4 / 2 = 2; in base 2 they are 2.9, and 60 / 2.9 is between 20 and 21.
    for scale, bounded in ((20.0, True), (21.0, False), (float("nan"), False), (float("inf"), False)):
        tiled_attention(query * scale, key, value)
        assert asked.pop() == bounded, scale


def test_tiles_pass_nan_on():
    query = torch.randn(1, 1, 4, 4)
    query[0, 0, 1] = torch.nan
    result = tiled_attention(query, torch.randn(1, 1, 6, 4), torch.randn(1, 1, 6, 2))
    assert result[0, 0, 1].isnan().all()
    assert not result[0, 0, [0, 2, 3]].isnan().any()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_tiles_leave_the_threads_as_they_were(count, threads):
    query, key, value = torch.randn(2, 2, 50, 8), torch.randn(2, 2, 70, 8), torch.randn(2, 2, 70, 4)
    expected = scaled_dot_product_attention(query, key, value, kernel="math")
    threads(count)
    torch.testing.assert_close(tiled_attention(query, key, value, 16, 16), expected)
    assert torch.get_num_threads() == count
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert seen == [count]


def _in_a_child() -> None:
    torch.set_num_threads(2)
    tiled_attention(torch.randn(1, 1, 50, 8), torch.randn(1, 1, 50, 8), torch.randn(1, 1, 50, 4), 8, 8)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_tiles_in_a_forked_process(threads):
    """A child inherits the pool of threads, but none of its threads."""
    threads(2)
    _in_a_child()
    child = multiprocessing.get_context("fork").Process(target=_in_a_child)
    child.start()
    child.join(60)
    exit_code = child.exitcode
    child.kill()
    assert exit_code == 0


def test_tile_sides_follow_the_cache(monkeypatch):
    monkeypatch.setattr(tiles, "last_level_cache", lambda: 2**25)
    tile_side = tiles.tile_side.__wrapped__
    # 32 MB, two threads: a quarter of 16 MB is 1024 × 1024 numbers of four bytes, or 512 × 1024 of eight.
    assert tile_side(2, 4) == 1024
    assert tile_side(2, 8) == 512
    assert tile_side(8, 4) == 512
    assert tile_side(10_000, 4) == 128
    monkeypatch.setattr(tiles, "last_level_cache", lambda: 2**40)
    assert tile_side(1, 4) == tiles.LARGEST_TILE


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


def test_load_takes_a_kernel(device):
    config = ma.load_config("tiny")
    inputs = draw_inputs(config)
    expected = ma.load(config, "reference")(*inputs)
    model = ma.load(config, "accelerated", device=device, kernel="textbook")
    assert {part.kernel for part in model.network.module.modules() if hasattr(part, "kernel")} == {"textbook"}
    assert error(model(*inputs), expected) <= bound("float32", 10)
    with pytest.raises(ValueError, match=f"kernel is 'quick', expected one of {', '.join(KERNELS)}"):
        ma.load(config, "accelerated", kernel="quick")
    with pytest.raises(ValueError, match="kernel is 'math', but the reference backend has no such choice"):
        ma.load(config, "reference", kernel="math")
    with pytest.raises(ValueError, match="compiled is True, but the reference backend has no such choice"):
        ma.load(config, "reference", compiled=True)


def test_a_kernel_that_is_not_there_is_named():
    config = ma.load_config("tiny")
    for kernel, device in (("cudnn", "cpu"), ("efficient", "cpu")):
        with pytest.raises(
            ValueError, match=f"kernel is '{kernel}', which PyTorch does not have for torch.float32"
        ):
            ma.load(config, "accelerated", device=device, kernel=kernel)(*draw_inputs(config))
    with pytest.raises(
        ValueError, match="kernel is 'tiled', which takes float32 and float64 on the CPU, but this"
    ):
        ma.load(config, "accelerated", device="cpu", dtype="bfloat16", kernel="tiled")(*draw_inputs(config))


def test_tiles_refuse_what_they_would_get_wrong():
    query = torch.randn(1, 1, 4, 4)
    with pytest.raises(ValueError, match="kernel is 'tiled', which gives no gradients"):
        scaled_dot_product_attention(query.requires_grad_(), query, query, kernel="tiled")
    compiled = torch.compile(scaled_dot_product_attention, backend="eager", fullgraph=False)
    torch._dynamo.reset()
    with torch.no_grad(), pytest.raises(ValueError, match="kernel is 'tiled', which no compiler or tracer sees"):
        compiled(query, query, query, kernel="tiled")


def test_a_trial_leaves_the_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.randn(3)
    torch.manual_seed(0)
    choice._trial(Problem(1, 1, 4, 4, 4, 4, torch.float32, CPU), Form(True, "math"))
    assert torch.equal(torch.randn(3), expected)


def test_load_compiles(monkeypatch):
    """The graph is the same whatever writes its code; the writer of this test needs no C++ compiler."""
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module, mode: compile_(module, backend="aot_eager"))
    torch._dynamo.reset()
    config = ma.load_config("tiny")
    inputs = draw_inputs(config)
    model = ma.load(config, "accelerated", device="cpu", compiled=True)
    expected = ma.load(config, "reference")(*inputs)
    assert error(model(*inputs), expected) <= bound("float32", 10)
    assert error(model.trace(*inputs)["norm"].swapaxes(0, 1), expected) <= bound("float32", 10)


def shared_frame(case):
    """The case, and the case with the first object's frame for all of them, given once."""
    axis = 1 if case.config.memory_attention.batch_first else 0
    objects = case.inputs.curr.shape[axis]

    def first(array):
        return None if array is None else np.take(array, [0], axis)

    once = case.inputs._replace(curr=first(case.inputs.curr), curr_pos=first(case.inputs.curr_pos))
    repeated = once._replace(
        curr=np.repeat(once.curr, objects, axis),
        curr_pos=None if once.curr_pos is None else np.repeat(once.curr_pos, objects, axis),
    )
    return once, repeated, axis


@given(case=cases(), dtype=st.sampled_from(["float64", "float32", "bfloat16"]))
def test_a_shared_frame_is_the_frame_repeated(case, dtype, backend, device):
    once, repeated, _ = shared_frame(rounded(case, dtype))
    model = ma.load(
        case.config, backend, case.weights, device=None if backend == "reference" else device, dtype=dtype
    )
    expected = model(*repeated)
    result = model(*once)
    assert result.shape == expected.shape
    assert error(result, expected) <= bound(dtype, 30)


@given(case=cases())
def test_an_expanded_frame_is_a_shared_one(case):
    """As SAM 2 hands it over: with stride 0 from object to object."""
    once, _, axis = shared_frame(case)
    model = ma.load(case.config, "accelerated", case.weights, device="cpu", dtype="float64")
    objects = case.inputs.memory.shape[axis]

    def expanded(array):
        if array is None:
            return None
        sizes = [-1, -1, -1]
        sizes[axis] = objects
        return torch.from_numpy(array.copy()).expand(sizes)

    memory, pos = (None if a is None else torch.from_numpy(a.copy()) for a in (once.memory, once.memory_pos))
    pointers = once.num_obj_ptr_tokens
    inputs = expanded(once.curr), memory, expanded(once.curr_pos), pos, pointers, once.grid
    seen = []
    attention = model.network.module.layers[0].self_attn
    hook = attention.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    with torch.no_grad():
        result = model(*inputs)
    hook.remove()
    assert seen == [1], "the first self-attention ran for every object"
    assert error(result.numpy(), model(*once)) <= bound("float64")


@pytest.mark.parametrize("grid", [(24, 24), (32, 32)])
def test_bytes_of_one_frame(grid, monkeypatch, threads):
    """No N × M logits, no values, and beside the keys, rotated where they lie, little more than a tile.

    Counted in one thread, which does the blocks of queries one after another.
    """
    monkeypatch.setattr(choice, "FEW_LOGITS", 0)
    config = ma.load_config("sam2.1_hiera_t")
    inputs = draw_inputs(config, grid=grid)
    module = ma.load(config, "accelerated", device="cpu").network.module
    tensors = [torch.from_numpy(array) for array in inputs[:4]]
    queries, keys = len(inputs.curr), len(inputs.memory)
    tile = min(queries, tiles.LARGEST_TILE) * min(keys, tiles.LARGEST_TILE)
    channels, memory_dim, hidden = 256, 64, 2048
    threads(1)
    with torch.inference_mode(), LiveBytes(*tensors, *module.parameters()) as fast:
        module(*tensors, inputs.num_obj_ptr_tokens, grid)
    module.use_kernel("textbook", False)
    with torch.inference_mode(), LiveBytes(*tensors, *module.parameters()) as textbook:
        module(*tensors, inputs.num_obj_ptr_tokens, grid)
    assert textbook.largest == 4 * queries * keys
    assert fast.largest <= 4 * max(keys * channels, tile, queries * hidden)
    attention = keys * channels + keys * memory_dim + tile
    feed_forward = 2 * queries * hidden
    assert fast.peak <= 4 * (max(attention, feed_forward) + 6 * queries * channels)
    assert fast.peak < textbook.peak / 2


def test_threads_share_a_module_on_the_fast_path(monkeypatch):
    monkeypatch.setattr(choice, "FEW_LOGITS", 0)
    config = ma.load_config("sam2.1_hiera_t")
    model = ma.load(config, "accelerated", device="cpu")
    jobs = {grid: draw_inputs(config, memories=2, grid=grid) for grid in ((8, 8), (5, 9))}
    expected = {grid: model(*inputs) for grid, inputs in jobs.items()}
    results = []
    threads = [
        threading.Thread(target=lambda g=grid: results.append((g, [model(*jobs[g]) for _ in range(5)])))
        for grid in jobs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == len(jobs)
    for grid, outputs in results:
        assert all(error(output, expected[grid]) <= bound("float32", 30) for output in outputs)


def test_a_flop_counter_sees_the_tiles(threads):
    """Blocks of queries in other threads would be lost to it."""
    threads(2)
    query, key, value = torch.randn(2, 2, 40, 8), torch.randn(2, 2, 30, 8), torch.randn(2, 2, 30, 4)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        tiled_attention(query, key, value, 16, 16)
    assert counter.get_total_flops() == 2 * 4 * 40 * 30 * (8 + 4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_traced_module_is_no_constant(monkeypatch):
    """What other threads compute would stand in the trace as a constant."""
    monkeypatch.setattr(choice, "FEW_LOGITS", 0)
    config = ma.load_config("sam2.1_hiera_t")
    module = ma.load(config, "accelerated", device="cpu").network.module
    first, second = (
        [torch.from_numpy(array) for array in draw_inputs(config, seed, 2, pointers=0, grid=(4, 4))[:4]]
        for seed in (0, 1)
    )
    with torch.no_grad():
        traced = torch.jit.trace(module, first, check_trace=False)
        torch.testing.assert_close(traced(*second), module(*second), rtol=1e-4, atol=1e-5)


@pytest.fixture
def attention():
    """An attention small enough to look at, on its fast path."""
    torch.manual_seed(0)
    made = RoPEAttention(16, 2, kv_in_dim=2, rope_k_repeat=True, feat_sizes=(4, 4)).double().eval()
    made.memory_space = True
    return made


def test_a_kernel_that_is_forced_stays_so_where_values_are_watched(attention, monkeypatch):
    asked = []
    spied = scaled_dot_product_attention
    monkeypatch.setattr(
        attention_module, "scaled_dot_product_attention", lambda *a: (asked.append(a[4]), spied(*a))[1]
    )
    attention.kernel = "textbook"
    attention.v_proj.register_forward_hook(lambda *_: None)
    with torch.no_grad():
        attention(torch.randn(1, 16, 16).double(), *[torch.randn(1, 32, 2).double()] * 2)
    assert asked == ["textbook"]


def test_another_forward_of_the_values_is_called(attention):
    """As `accelerate` replaces it, on the module itself."""
    x, memory = torch.randn(1, 16, 16).double(), torch.randn(1, 32, 2).double()
    sound = attention.v_proj.forward
    with torch.no_grad():
        bias = attention.out_proj.bias
        expected = 2 * (attention(x, memory, memory) - bias) + bias
        attention.v_proj.forward = lambda values: 2 * sound(values)
        torch.testing.assert_close(attention(x, memory, memory), expected)


@pytest.mark.parametrize("learns", ["values", "projection"])
def test_gradients_asked_of_the_values_alone_take_the_plain_form(attention, learns):
    attention.requires_grad_(False)
    attention.kernel, attention.memory_space = "tiled", False
    x, memory = torch.randn(1, 16, 16).double(), torch.randn(1, 32, 2).double()
    asked = memory.clone() if learns == "values" else attention.v_proj.weight
    asked.requires_grad_()
    attention(x, memory, asked if learns == "values" else memory).sum().backward()
    assert asked.grad.abs().sum() > 0


def test_kernels_forced_in_two_threads_leave_pytorch_as_it_was(attention):
    def flags():
        cuda = torch.backends.cuda
        return [f() for f in (cuda.flash_sdp_enabled, cuda.mem_efficient_sdp_enabled, cuda.math_sdp_enabled)]

    before, query = flags(), torch.randn(1, 1, 4, 8)

    def call(kernel):
        with torch.no_grad():
            for _ in range(200):
                scaled_dot_product_attention(query, query, query, kernel=kernel)

    threads = [threading.Thread(target=call, args=[kernel]) for kernel in ("flash", "math")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert flags() == before


def test_an_export_takes_any_number_of_objects():
    config = ma.load_config("tiny")
    module = ma.load(config, "accelerated", device="cpu").network.module
    objects = torch.export.Dim("objects", min=2, max=128)

    def frame(count):
        arrays = draw_inputs(config, objects=count, pointers=0)[:4]
        return tuple(torch.from_numpy(array) for array in arrays)

    with torch.no_grad():
        program = torch.export.export(module, frame(2), dynamic_shapes=[{1: objects}] * 4).module()
        torch.testing.assert_close(program(*frame(70)), module(*frame(70)), rtol=1e-4, atol=1e-5)


def test_a_frame_of_one_whose_encodings_differ_is_not_shared():
    config = ma.load_config("tiny")
    curr, memory, curr_pos, memory_pos = (
        torch.from_numpy(array) for array in draw_inputs(config, objects=2, pointers=0)[:4]
    )
    expanded = curr[:, :1].expand(-1, 2, -1)
    module = ma.load(config, "accelerated", device="cpu").network.module
    with torch.no_grad():
        result = module(expanded, memory, curr_pos, memory_pos)
        torch.testing.assert_close(result, module(expanded.contiguous(), memory, curr_pos, memory_pos))


def test_weights_of_another_kind_are_left_to_their_module(attention):
    """Quantised weights, say: what they are as numbers is theirs to know."""

    class Other(torch.Tensor):
        pass

    query, key, memory = torch.randn(1, 2, 16, 8), torch.randn(1, 2, 64, 8), torch.randn(1, 64, 2)
    with torch.no_grad():
        assert attention._form(query, key, memory).memory_space
        weight = attention.v_proj.weight.detach().as_subclass(Other)
        attention.v_proj.weight = torch.nn.Parameter(weight)
        assert type(attention.v_proj.weight) is Other
        assert not attention._form(query, key, memory).memory_space


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_transforms_go_through(attention, monkeypatch):
    """Derivatives forwards, vmap and make_fx, against differences, a loop and another input."""
    monkeypatch.setattr(choice, "FEW_LOGITS", 0)
    attention.memory_space = None
    x, memory, step = (torch.randn(shape).double() for shape in ((2, 16, 16), (2, 32, 2), (2, 32, 2)))

    def call(memory, x=x):
        return attention(x, memory, memory)

    with torch.no_grad():
        value, slope = torch.func.jvp(call, (memory,), (step,))
        torch.testing.assert_close(value, call(memory))
        difference = (call(memory + 1e-5 * step) - call(memory - 1e-5 * step)) / 2e-5
        torch.testing.assert_close(slope, difference, rtol=1e-6, atol=1e-6)
        mapped = torch.func.vmap(lambda m, x: call(m[None], x[None])[0])(memory, x)
        torch.testing.assert_close(mapped, call(memory))
        graph = make_fx(lambda memory: call(memory))(memory)
        torch.testing.assert_close(graph(memory + step), call(memory + step))


@pytest.mark.parametrize("hooked", ["norm3", "linear1", "dropout", "linear2", "every module"])
def test_who_hooks_the_feed_forward_is_called_once(hooked, monkeypatch):
    monkeypatch.setattr(feed_forward, "TOKENS_AT_ONCE", 5)
    config = ma.load_config("tiny")
    inputs = draw_inputs(config, objects=2)
    model = ma.load(config, "accelerated", device="cpu")
    expected, seen = model(*inputs), []
    layer = model.network.module.layers[0]
    part = getattr(layer, hooked, layer.linear1)

    def see(module, args, output):
        if module is part:
            seen.append(output.shape[:2])

    everywhere = torch.nn.modules.module.register_module_forward_hook
    handle = (everywhere if hooked == "every module" else part.register_forward_hook)(see)
    result = model(*inputs)
    handle.remove()
    assert error(result, expected) <= bound("float32")
    assert seen == [(2, 16)]


@given(seed=seeds, tokens=st.integers(1, 40), at_once=st.integers(1, 50), objects=st.integers(1, 3))
def test_the_feed_forward_some_tokens_at_a_time_is_that_of_all(seed, tokens, at_once, objects):
    torch.manual_seed(seed)
    layer = ma.load("tiny", "accelerated", device="cpu", dtype="float64").network.module.layers[0]
    parts = (layer.norm3, layer.linear1, layer.activation, layer.dropout, layer.linear2, layer.dropout3)
    x = torch.randn(tokens, objects, layer.d_model).double().transpose(0, 1)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(feed_forward, "TOKENS_AT_ONCE", tokens * objects)
        whole = feed_forward.feed_forward(x, *parts)
        patch.setattr(feed_forward, "TOKENS_AT_ONCE", at_once)
        torch.testing.assert_close(feed_forward.feed_forward(x, *parts), whole)


@given(seed=seeds, layout=st.permutations(range(4)), offset=st.integers(0, 1), padding=st.integers(0, 1))
def test_rotation_takes_any_layout(seed, layout, offset, padding):
    """Also those whose pairs are not pairs in memory."""
    sizes = np.array([2, 3, 6, 8])[layout]
    stored = drawn(seed, *sizes[:-1], int(sizes[-1]) + offset + padding)
    x = stored[..., offset : offset + int(sizes[-1])].permute(*np.argsort(layout).tolist())
    table = rotary_table(2, 3, 8, 100.0, "cpu", torch.float64)
    assert torch.equal(rotate(x, table), rotate(x.contiguous(), table))
    # The keys go the same way, however the module in place of k_proj lays them out.
    out = torch.empty(x.shape, dtype=x.dtype)
    rotate(x, table, out=out)
    assert torch.equal(out, rotate(x, table))


@pytest.mark.parametrize("copies", [1, 2])
def test_in_training_every_object_has_its_own_dropout(copies):
    config = ma.load_config("tiny")
    *arrays, pointers, _ = draw_inputs(config)
    curr, memory, curr_pos, memory_pos = (torch.from_numpy(array) for array in arrays)
    module = ma.load(config, "accelerated", device="cpu").network.module.train()
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    module.layers[0].dropout1.p = 0.5
    torch.manual_seed(0)
    frame = [tokens.expand(-1, copies, -1) for tokens in (curr, curr_pos)]
    remembered = [tokens.expand(-1, 2, -1) for tokens in (memory, memory_pos)]
    first, second = module(frame[0], remembered[0], frame[1], remembered[1], pointers).unbind(1)
    assert not torch.allclose(first, second)


def test_fake_tensors_are_not_kept():
    config = ma.load_config("tiny")
    inputs = draw_inputs(config, grid=(3, 7))
    model = ma.load(config, "accelerated", device="cpu")
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        fakes = [mode.from_tensor(torch.from_numpy(array)) for array in inputs[:4]]
        assert model.network.module(*fakes, inputs.num_obj_ptr_tokens, (3, 7)).shape == inputs.curr.shape
    assert np.isfinite(model(*inputs)).all()


def test_gradients_asked_of_the_keys_alone_take_the_plain_form():
    """The learned places in time ask for gradients, even where the network is frozen."""
    attention = (
        RoPEAttention(16, 1, kv_in_dim=4, rope_k_repeat=True, feat_sizes=(4, 4)).eval().requires_grad_(False)
    )
    attention.kernel, memory, pos = "tiled", torch.randn(1, 32, 4), torch.zeros(1, 32, 4, requires_grad=True)
    attention(torch.randn(1, 16, 16), memory + pos, memory).sum().backward()
    assert pos.grad.abs().sum() > 0


def test_a_trace_of_an_expanded_frame_takes_other_frames():
    config = ma.load_config("tiny")
    module = ma.load(config, "accelerated", device="cpu").network.module
    curr, memory, curr_pos, memory_pos = (
        torch.from_numpy(array) for array in draw_inputs(config, objects=2, pointers=0)[:4]
    )
    expanded = curr[:, :1].expand(-1, 2, -1), memory, curr_pos[:, :1].expand(-1, 2, -1), memory_pos
    with torch.no_grad():
        program = torch.export.export(module, expanded).module()
        given = curr, memory, curr_pos, memory_pos
        torch.testing.assert_close(program(*given), module(*given), rtol=1e-4, atol=1e-5)
