"""A kernel that is forced is taken or refused by name."""

import threading

import pytest
import torch

import memory_attention as ma
from memory_attention.accelerated.kernels import scaled_dot_product_attention
from memory_attention.inputs import draw_inputs


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
