"""Blocks of queries in threads leave the threads as they were, and start anew in a child process."""

import contextlib
import multiprocessing
import threading

import pytest
import torch

from memory_attention.accelerated import threads as spreading
from memory_attention.accelerated.kernels import scaled_dot_product_attention
from memory_attention.accelerated.tiles import tiled_attention


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
@pytest.mark.parametrize("held", [False, True])
def test_tiles_in_a_forked_process(held, threads):
    """A child inherits the pool of threads, but none of its threads, and the lock, but not who holds it."""
    threads(2)
    _in_a_child()
    child = multiprocessing.get_context("fork").Process(target=_in_a_child)
    with spreading._making if held else contextlib.nullcontext():
        child.start()
    child.join(60)
    exit_code = child.exitcode
    child.kill()
    assert exit_code == 0
