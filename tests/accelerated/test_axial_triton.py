"""The Triton kernel without a GPU: its numbers by Triton's interpreter, and that it compiles for cards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

triton = pytest.importorskip("triton", reason="Triton is for Linux only")
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from axial_problems import check_means, more_than_at_once  # noqa: E402
from memory_attention.accelerated import axial_triton  # noqa: E402

INTERPRETED = Path(__file__).with_name("interpreted_axial.py")


def test_its_numbers_in_the_interpreter():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(INTERPRETED)]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        command, env=environment, cwd=INTERPRETED.parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("numbers", "name"), [("bfloat16", "bf16"), ("float32", "fp32")])
def test_it_compiles_for_a_card(monkeypatch, tmp_path, numbers, name):
    """Halves go to the tensor cores, and what a program shares fits a card of 2020."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = axial_triton._attend
    sizes = {"K": 64, "WIDTH": 64, "QUERIES": axial_triton.QUERIES, "FRAMES": axial_triton.FRAMES}
    sizes["COLUMNS"] = axial_triton.columns_at_once(getattr(torch, numbers))
    kinds = dict.fromkeys(axial_triton.COUNTS, "i32") | dict.fromkeys(sizes, "constexpr")
    signature = {argument: kinds.get(argument, f"*{name}") for argument in kernel.arg_names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(signature.values()) if kind[0] == "*"}
    compiled = triton.compile(
        ASTSource(kernel, signature, sizes, aligned), GPUTarget("cuda", 80, 32), axial_triton.LAUNCH
    )
    assert compiled.metadata.shared < 164 * 1024
    assert ("mma.sync" in compiled.asm["ptx"]) == (numbers == "bfloat16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("numbers", ["float32", "float16", "bfloat16"])
def test_its_numbers_on_a_card(numbers):
    for places, placeless, sizes in more_than_at_once(numbers):
        check_means(axial_triton.axial_attention, places, placeless, numbers, "cuda", **sizes)
