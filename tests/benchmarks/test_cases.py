"""What is measured, and how often."""

import memory_attention as ma
from memory_attention.benchmarks.cases import Case, Setting, cases, fits, turns_of

SETTING = Setting("tiny", "cpu", "float32", seed=0, turns=3)


def test_the_textbook_is_left_out_where_its_logits_do_not_fit():
    assert fits(Case(7, 1, 64), "textbook", SETTING)
    # 4096 queries × 40 × 4096 keys × 4 bytes are 2.7 GB.
    assert not fits(Case(40, 1, 64), "textbook", SETTING)
    assert fits(Case(7, 1, 96), "fast", SETTING)


def test_what_is_measured():
    full = cases(ma.load_config("sam2.1_hiera_t"))
    assert {case.memories for case in full if case.grid == 64 and case.objects == 1} == {1, 2, 4, 7}
    assert {case.objects for case in full if case.grid == 64 and case.memories in (1, 7)} == {1, 3}
    assert {case.grid for case in full} == {16, 32, 48, 64, 96}
    assert [case.frames for case in full if case.frames > 1] == [16]
    assert turns_of(Case(7, 1, 64), 5) == 5
    assert turns_of(Case(7, 3, 64), 5) == 2
    assert turns_of(Case(7, 1, 96), 1) == 1
