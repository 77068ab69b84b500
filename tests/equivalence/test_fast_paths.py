"""The fast paths, each forced on and off, under the rules of equivalence."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import cases
from checks import check_equivalence, check_off_the_fast_path, is_refusal
from memory_attention.accelerated import choice
from memory_attention.reference import attention as reference

ON_CPU = ["pytorch", "math", "tiled", "axial", "textbook"]
ON_GPU = ["pytorch", "flash", "efficient", "cudnn", "math", "flex", "textbook", "axial"]


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
        patch.setattr(choice, "LEAST_GAIN", 1)
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
        # Kernels take some dtypes and widths only; what they take must be right.
        if not is_refusal(refusal, kernel):
            raise


@pytest.mark.parametrize("saves", [True, False])
@given(case=cases())
def test_the_reference_with_memory_space_forced(case, saves):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "memory_space_saves", lambda *_: saves)
        check_equivalence(case, "reference", "cpu", "float64")
