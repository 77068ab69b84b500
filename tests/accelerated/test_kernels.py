"""A kernel that is forced is taken or refused by name."""

import subprocess
import sys
import threading

import pytest
import torch

import memory_attention as ma
from memory_attention.accelerated.kernels import scaled_dot_product_attention, softmax
from memory_attention.inputs import draw_inputs


def test_a_kernel_that_is_not_there_is_named():
    config = ma.load_config("tiny")
    for kernel, device in (("cudnn", "cpu"), ("efficient", "cpu")):
        with pytest.raises(
            ValueError, match=f"kernel is '{kernel}', which PyTorch does not have for torch.float32"
        ):
            ma.load(config, "accelerated", device=device, kernel=kernel)(*draw_inputs(config))
    for kernel, on_a_gpu in (("tiled", ""), ("axial", ", and float32 and halves on a GPU with Triton")):
        message = f"kernel is '{kernel}', which takes float32 and float64 on the CPU{on_a_gpu}, but this is"
        with pytest.raises(ValueError, match=message):
            ma.load(config, "accelerated", device="cpu", dtype="bfloat16", kernel=kernel)(*draw_inputs(config))


@pytest.mark.parametrize("kernel", ["tiled", "axial"])
def test_tiles_refuse_what_they_would_get_wrong(kernel):
    query = torch.randn(1, 1, 4, 4)
    with pytest.raises(ValueError, match=f"kernel is '{kernel}', which gives no gradients"):
        scaled_dot_product_attention(query.requires_grad_(), query, query, kernel=kernel)
    compiled = torch.compile(scaled_dot_product_attention, backend="eager", fullgraph=False)
    torch._dynamo.reset()
    with (
        torch.no_grad(),
        pytest.raises(ValueError, match=f"kernel is '{kernel}', which no compiler or tracer sees"),
    ):
        compiled(query, query, query, kernel=kernel)


def test_kernels_forced_in_two_threads_leave_pytorch_as_it_was():
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


@pytest.mark.parametrize("kernel", ["pytorch", "math"])
def test_dropout_leaves_out_that_share_of_the_weights(kernel):
    """Equal weights: each key's is 0, or so much larger that the mean stays."""
    torch.manual_seed(0)
    query, key = torch.zeros(1, 1, 4000, 2), torch.randn(1, 1, 5, 2)
    value = torch.eye(5)[None, None]
    for dropout in (0.2, 0.5):
        weights = scaled_dot_product_attention(query, key, value, dropout, kernel)
        dropped = weights == 0
        assert abs(dropped.double().mean() - dropout) < 5 * (dropout * (1 - dropout) / weights.numel()) ** 0.5
        torch.testing.assert_close(weights[~dropped], torch.full_like(weights[~dropped], 0.2 / (1 - dropout)))


@pytest.mark.parametrize("kernel", ["tiled", "axial", "textbook", "flex"])
def test_a_kernel_without_dropout_says_so(kernel):
    x = torch.randn(1, 1, 3, 4)
    with pytest.raises(ValueError, match=f"kernel is '{kernel}', which knows no dropout"):
        scaled_dot_product_attention(x, x, x, 0.1, kernel)


def test_a_kernel_that_is_not_forced_gives_way():
    query, key, value = torch.randn(1, 2, 3, 8), torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 4)
    with pytest.raises(ValueError, match="kernel is 'cudnn', which PyTorch does not have"):
        scaled_dot_product_attention(query, key, value, kernel="cudnn")
    given_way = scaled_dot_product_attention(query, key, value, kernel="cudnn", forced=False)
    assert torch.equal(given_way, scaled_dot_product_attention(query, key, value))


def test_triton_is_imported_only_where_it_computes():
    """A machine need not have it."""
    code = "import sys, memory_attention.accelerated; sys.exit('triton' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_softmax_of_halves_is_taken_in_float32(half):
    """A sum of six thousand equal weights is beyond what half precision adds up."""
    weights = softmax(torch.zeros(2, 6000, dtype=half))
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, torch.full((2, 6000), 1 / 6000))
