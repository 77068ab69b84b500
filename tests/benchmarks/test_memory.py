"""The memory of one frame at its peak."""

from dataclasses import replace

import pytest

from memory_attention.benchmarks.cases import Case, Setting
from memory_attention.benchmarks.memory import peak_memory

SETTING = Setting("tiny", "cpu", "float32", seed=0, turns=3)


def test_peak_memory_is_of_the_order_of_the_keys():
    """At 32 × 32 and seven memories the keys are 7 MB, all logits 30 MB and more than once."""
    setting = replace(SETTING, config="sam2.1_hiera_t")
    fast, textbook = (peak_memory(Case(7, 1, 32), name, setting) for name in ("fast", "textbook"))
    if fast is None:
        pytest.skip("this system does not tell a process its peak memory")
    assert 5 < fast < 60
    assert textbook > 60
