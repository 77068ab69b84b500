"""What only the accelerated backend has: autograd, dropout, autocast, a shared frame, a place in SAM 2."""

import copy
import threading

import pytest
import torch
from hypothesis import given, settings
from torch import nn

import memory_attention as ma
from cases import cases, shared_frame
from checks import error
from live_bytes import LiveBytes
from memory_attention.accelerated import (
    Attention,
    MemoryAttention,
    MemoryAttentionLayer,
    RoPEAttention,
    axial,
    choice,
    tiles,
)
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound

CONFIG = ma.load_config("tiny")


@pytest.fixture
def module():
    torch.manual_seed(0)
    return MemoryAttention.from_config(CONFIG.memory_attention).eval()


def inputs(**kwargs):
    drawn = draw_inputs(CONFIG, memories=2, pointers=3, objects=2, **kwargs)
    return [torch.from_numpy(array) for array in drawn[:4]]


def test_gradients_are_those_of_finite_differences(module):
    module = module.double()
    tensors = [t.double().requires_grad_() for t in inputs(grid=(1, 2))]
    assert torch.autograd.gradcheck(lambda *t: module(*t, 6, (1, 2)), tensors, fast_mode=True)


def test_every_parameter_gets_a_gradient(module):
    module(*inputs(), 6).square().sum().backward()
    for name, parameter in module.named_parameters():
        # A shift of all keys moves all logits of a query alike, and softmax does not see it; a rotated
        # shift differs from place to place.
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_training_drops_and_evaluation_does_not(module):
    tensors = inputs()
    assert torch.equal(module(*tensors, 6), module(*tensors, 6))
    module.train()
    assert not torch.equal(module(*tensors, 6), module(*tensors, 6))


@pytest.mark.parametrize("name", ["dropout1", "dropout2", "dropout3", "dropout"])
def test_each_dropout_acts_in_training(name, module):
    module.train()
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(part, Attention):
            part.dropout_p = 0.0
    tensors = inputs()
    assert torch.equal(module(*tensors, 6), module(*tensors, 6))
    getattr(module.layers[0], name).p = 0.5
    assert not torch.equal(module(*tensors, 6), module(*tensors, 6))


def test_two_threads_share_a_module(module):
    """Nothing is mutated in a forward pass: grids of two shapes at once give what they give alone."""
    jobs = {grid: inputs(grid=grid) for grid in ((4, 4), (3, 5), (2, 2))}
    state = {name: value.clone() for name, value in module.state_dict().items()}
    attributes = {name: dict(vars(part)) for name, part in module.named_modules()}
    with torch.no_grad():
        expected = {grid: module(*tensors, 6, grid) for grid, tensors in jobs.items()}
        wrong = []

        def run(grid):
            for _ in range(20):
                with torch.no_grad():
                    if not torch.equal(module(*jobs[grid], 6, grid), expected[grid]):
                        wrong.append(grid)

        threads = [threading.Thread(target=run, args=(grid,)) for grid in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert all(vars(part).keys() == attributes[name].keys() for name, part in module.named_modules())


def test_autocast_takes_the_dtypes_that_sam2_mixes(module):
    """SAM 2 keeps memories in bfloat16 and their encodings in float32, under autocast."""
    curr, memory, curr_pos, memory_pos = inputs()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        result = module(curr, memory.bfloat16(), curr_pos, memory_pos, 6)
    torch.testing.assert_close(result.float(), module(curr, memory, curr_pos, memory_pos, 6), atol=0.1, rtol=0.1)
    with pytest.raises(TypeError, match="memory has dtype torch.bfloat16, expected that of curr"):
        module(curr, memory.bfloat16(), curr_pos, memory_pos, 6)


def test_lists_of_one_as_sam2_calls_it(module):
    curr, memory, curr_pos, memory_pos = inputs()
    expected = module(curr, memory, curr_pos, memory_pos, 6)
    called = module(curr=[curr], curr_pos=[curr_pos], memory=memory, memory_pos=memory_pos, num_obj_ptr_tokens=6)
    assert torch.equal(called, expected)


class ForeignLayer(nn.Module):
    """A layer with SAM 2's call and none of ours: it knows no grid and no record."""

    def __init__(self):
        super().__init__()
        self.cross_attn_image = Attention(embedding_dim=16, num_heads=1, kv_in_dim=8)

    def forward(self, tgt, memory, pos=None, query_pos=None, num_k_exclude_rope=0):
        return tgt + self.cross_attn_image(tgt, memory, memory)


def test_our_stack_holds_layers_of_others(module):
    stack = MemoryAttention(16, True, ForeignLayer(), num_layers=2)
    assert stack(*inputs(), 6).shape == (16, 2, 16)


def test_layers_are_copies_or_the_given_ones(module):
    layer = module.layers[0]
    copies = MemoryAttention(16, True, layer, num_layers=2).layers
    assert copies[0] is not layer
    assert copies[0].linear1.weight is not copies[1].linear1.weight
    given = [layer, copy.deepcopy(layer)]
    assert list(MemoryAttention(16, True, given, num_layers=2).layers) == given
    with pytest.raises(ValueError, match="layer is a sequence of 2, expected num_layers, 3"):
        MemoryAttention(16, True, given, num_layers=3)


def test_the_constructors_are_those_of_sam2():
    attentions = {
        "self_attention": RoPEAttention(embedding_dim=16, num_heads=1, downsample_rate=1, dropout=0.1),
        "cross_attention": RoPEAttention(16, 1, 1, 0.1, 8, rope_k_repeat=True, feat_sizes=[4, 4]),
    }
    layer = MemoryAttentionLayer(
        "relu", attentions["cross_attention"], 16, 32, 0.1, False, True, False, attentions["self_attention"]
    )
    names = set(MemoryAttention(16, True, layer, 1).state_dict())
    assert {f"memory_attention.{name}" for name in names} == set(ma.parameter_shapes(CONFIG))


@settings(max_examples=15)
@given(case=cases())
def test_views_of_any_stride(case, device):
    """Tensors that are transposed or strided views give what their copies give."""
    model = ma.load(case.config, "accelerated", case.weights, device=device, dtype="float64").network.module
    tensors = [torch.from_numpy(a.copy()).to(device) if hasattr(a, "dtype") else a for a in case.inputs]

    def view(tensor):
        wide = torch.stack([tensor, tensor + 1], dim=-1).transpose(0, 1).contiguous().transpose(0, 1)
        return wide[..., 0]

    views = [view(t) if isinstance(t, torch.Tensor) else t for t in tensors]
    with torch.no_grad():
        torch.testing.assert_close(model(*views), model(*tensors), rtol=1e-10, atol=1e-10)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_what_the_cpu_gives(module):
    with torch.no_grad():
        expected = module(*inputs(), 6)
        on_gpu = copy.deepcopy(module).cuda()
        torch.testing.assert_close(on_gpu(*(t.cuda() for t in inputs()), 6).cpu(), expected, rtol=1e-4, atol=1e-5)


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


@pytest.mark.parametrize("kernel", ["tiled", "axial"])
@pytest.mark.parametrize("grid", [(24, 40), (32, 32)])
def test_bytes_of_one_frame(grid, kernel, monkeypatch, threads):
    """No N × M logits, no values, and beside the keys, rotated where they lie, little more than a tile.

    Or no keys but memories, arranged as keys and as values, and what queries and keys are in memory space.

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
    monkeypatch.setattr(choice, "LEAST_GAIN", 1)
    module.use_kernel(None if kernel == "axial" else kernel)
    with torch.inference_mode(), LiveBytes(*tensors, *module.parameters()) as fast:
        module(*tensors, inputs.num_obj_ptr_tokens, grid)
    module.use_kernel("textbook", False)
    with torch.inference_mode(), LiveBytes(*tensors, *module.parameters()) as textbook:
        module(*tensors, inputs.num_obj_ptr_tokens, grid)
    assert textbook.largest == 4 * queries * keys
    largest = max(keys * channels, tile, queries * hidden)
    attention = keys * channels + keys * memory_dim + tile
    if kernel == "axial":
        width, block, side = memory_dim + 1, axial.QUERY_BLOCK, axial.TILE_SIDE
        in_memory_space = sum(grid) * width * (block + channels // 2)
        tile = block * 7 * min(side, grid[0]) * min(side, grid[1])
        largest = max(largest, tile)
        # A block is scaled, and summed up.
        attention = 3 * keys * width + in_memory_space + tile + block * 3 * channels
    assert fast.largest <= 4 * largest
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


def test_a_frame_of_one_whose_encodings_differ_is_not_shared(module):
    curr, memory, curr_pos, memory_pos = (
        torch.from_numpy(array) for array in draw_inputs(CONFIG, objects=2, pointers=0)[:4]
    )
    expanded = curr[:, :1].expand(-1, 2, -1)
    with torch.no_grad():
        result = module(expanded, memory, curr_pos, memory_pos)
        torch.testing.assert_close(result, module(expanded.contiguous(), memory, curr_pos, memory_pos))


@pytest.mark.parametrize("copies", [1, 2])
def test_in_training_every_object_has_its_own_dropout(copies):
    *arrays, pointers, _ = draw_inputs(CONFIG)
    curr, memory, curr_pos, memory_pos = (torch.from_numpy(array) for array in arrays)
    module = ma.load(CONFIG, "accelerated", device="cpu").network.module.train()
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    module.layers[0].dropout1.p = 0.5
    torch.manual_seed(0)
    frame = [tokens.expand(-1, copies, -1) for tokens in (curr, curr_pos)]
    remembered = [tokens.expand(-1, 2, -1) for tokens in (memory, memory_pos)]
    first, second = module(frame[0], remembered[0], frame[1], remembered[1], pointers).unbind(1)
    assert not torch.allclose(first, second)
