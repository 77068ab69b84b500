"""What is measured, how often, and whom."""

from dataclasses import replace

import memory_attention as ma
from memory_attention.benchmarks.cases import RIVALS, Case, Setting, cases, fits, is_heavy, turns_of
from memory_attention.benchmarks.contenders import CONTENDERS

SETTING = Setting("tiny", "cpu", "float32", seed=0, turns=3)


def fitting(case, setting=SETTING):
    return {name for name in CONTENDERS if fits(case, name, setting)}


def test_the_textbook_is_left_out_where_its_logits_do_not_fit():
    assert fits(Case(1, 1, 64, others=True), "plain", SETTING)
    assert fits(Case(1, 1, 64, others=True), "textbook", SETTING)
    # 4096 queries × 7 × 4096 keys × 4 bytes are 470 MB.
    assert not fits(Case(7, 1, 64, others=True), "textbook", SETTING)
    assert not fits(Case(7, 1, 64, others=True), "plain", SETTING)
    assert not fits(Case(7, 1, 64), "textbook", replace(SETTING, device="cuda"))
    assert fits(Case(7, 1, 64, others=True), "textbook", replace(SETTING, dtype="bfloat16"))


def test_who_takes_part():
    assert fitting(Case(7, 1, 64)) == {*RIVALS, "fast compiled"}
    assert fitting(Case(7, 3, 64)) == {*RIVALS, "fast compiled"}
    assert fitting(Case(7, 3, 32)) == {*RIVALS, "fast compiled", "one by one"}
    assert fitting(Case(7, 1, 8, gradients=True)) == {*RIVALS, "accelerate", "sam2"}
    everyone = set(CONTENDERS) - {"one by one"}
    peers_compiled = {"transformers compiled", "sam2 compiled"}
    assert fitting(Case(7, 1, 8, others=True)) == everyone - peers_compiled
    assert fitting(Case(7, 1, 8, others=True, compiled=True)) == everyone
    assert fitting(Case(7, 1, 8), replace(SETTING, compiled=True)) == {*RIVALS, "fast compiled", *peers_compiled}
    assert fitting(Case(7, 1, 8), replace(SETTING, device="cuda")) == everyone - peers_compiled


def test_what_is_measured():
    full = cases(ma.load_config("sam2.1_hiera_t"))
    assert {case.memories for case in full if case.grid == 64 and case.objects == 1} == {1, 7, 15}
    assert {case.objects for case in full if case.grid == 32 and case.memories == 7} == {1, 3, 8}
    assert {case.grid for case in full if case.memories == 7} == {16, 32, 64}
    assert [case.frames for case in full if case.frames > 1] == [16]
    assert [case.gradients for case in full].count(True) == 1
    assert len({case.name for case in full}) == len(full)
    assert [case.name for case in full if case.others] == [
        "64×64, 7 memories, 1 object",
        "32×32, 7 memories, 1 object",
    ]
    assert len(cases(ma.load_config("tiny"))) == len(full)


def test_a_sample_is_small():
    quick = cases(ma.load_config("sam2.1_hiera_t"), quick=True)
    assert quick == [Case(7, 1, 32), Case(7, 3, 16)]


def test_names_say_what_differs():
    assert Case(1, 1, 8).name == "8×8, 1 memory, 1 object"
    assert Case(7, 3, 8, gradients=True).name == "8×8, 7 memories, 3 objects, forward and backward"
    assert Case(7, 1, 8, frames=5).name == "8×8, video of 5 frames, 1 object"


def test_fewer_turns_for_what_takes_minutes():
    assert turns_of(Case(7, 1, 64), 5) == 5
    assert turns_of(Case(7, 3, 64), 5) == 3
    assert turns_of(Case(15, 1, 64), 5) == 3
    assert turns_of(Case(7, 8, 32), 5) == 3
    assert turns_of(Case(7, 1, 32, gradients=True), 9) == 5
    assert turns_of(Case(7, 3, 16), 4) == 3
    assert [is_heavy(case) for case in (Case(7, 1, 64), Case(8, 1, 64), Case(7, 2, 64))] == [False, True, True]
    assert turns_of(Case(15, 1, 64), 1) == 1
