"""Both memory banks make the same tokens, and those that are made one by one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banks import BACKENDS, Bank, Scenario, draw_parameters, make_config, memory_of, pointer_of, scenarios
from memory_attention.tolerances import BOUNDS
from walking import tokens_one_by_one


@given(scenarios(), st.integers(0, 2**32 - 1))
def test_tokens_of_both_backends_agree_with_tokens_made_one_by_one(case: Scenario, seed: int) -> None:
    parameters = draw_parameters(case.config, seed=seed)
    memory, memory_pos, num_obj_ptr_tokens = tokens_one_by_one(case, parameters, seed)
    for backend in BACKENDS:
        bank = Bank(backend, case.config, parameters)
        case.fill(bank, seed)
        tokens = bank.tokens(case.frame, case.num_frames, case.backwards, case.training)
        np.testing.assert_allclose(tokens.memory, memory, rtol=0, atol=1e-12)
        np.testing.assert_allclose(tokens.memory_pos, memory_pos, rtol=0, atol=1e-12)
        assert tokens.num_obj_ptr_tokens == num_obj_ptr_tokens


@given(scenarios(), st.integers(0, 2**32 - 1), st.sampled_from(["float32", "float64"]))
def test_backends_agree(case: Scenario, seed: int, dtype: str) -> None:
    parameters = draw_parameters(case.config, dtype, seed)
    results = []
    for backend in BACKENDS:
        bank = Bank(backend, case.config, parameters)
        case.fill(bank, seed, dtype)
        results.append(bank.tokens(case.frame, case.num_frames, case.backwards, case.training))
    expected, actual = results
    assert expected[2:] == actual[2:]
    for name in ("memory", "memory_pos"):
        truth, result = getattr(expected, name), getattr(actual, name)
        assert truth.dtype == result.dtype == dtype
        np.testing.assert_allclose(result, truth, rtol=0, atol=BOUNDS[dtype] * np.abs(truth).max())


@given(scenarios(), st.integers(0, 2**32 - 1))
def test_forgetting_changes_nothing_for_the_frames_to_come(case: Scenario, seed: int) -> None:
    """Frames are added and tracked in order, in one backend with and in the other without forgetting."""
    full, lean = Bank("reference", case.config), Bank("accelerated", case.config)
    rng = np.random.default_rng(seed)
    contents = {number: rest for number, *rest in case.added}
    width = case.config.memory_attention.memory_dim
    for frame in range(case.num_frames):
        if full.bank.conditioning:
            lean.bank.forget(frame, case.training)
            expected = full.tokens(frame, case.num_frames, training=case.training)
            actual = lean.tokens(frame, case.num_frames, training=case.training)
            assert actual[2:] == expected[2:]
            np.testing.assert_array_equal(actual.memory, expected.memory)
        prompted, has_pointer = contents.get(frame, (False, True))
        memory, pointer = rng.normal(size=(1, width, 1, 1)), rng.normal(size=(1, 8))
        for bank in (full, lean):
            bank.add(frame, memory, pointer if has_pointer else None, prompted)


def test_a_bank_that_forgets_is_bounded(make_bank: Callable[..., Bank]) -> None:
    bank = make_bank(make_config(num_maskmem=7, max_cond_frames_in_attn=4, max_obj_ptrs_in_encoder=16))
    for frame in range(100):
        bank.bank.forget(frame)
        # 6 slots, 4 + 1 conditioning frames; 15 pointers, and the 5 again.
        assert len(bank.bank.memories) <= 11
        assert len(bank.bank.pointers) <= 20
        bank.add(frame, memory_of(0, height=1, width=1), pointer_of(0), conditioning=frame % 10 == 0)
    assert bank.bank.conditioning == (50, 60, 70, 80, 90)


@given(scenarios(), st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_objects_do_not_mix(case: Scenario, seed: int, random: Any) -> None:
    """Permuting the objects that are added permutes the tokens."""
    order = list(range(3))
    random.shuffle(order)
    rng = np.random.default_rng(seed)
    width = case.config.memory_attention.memory_dim
    for backend in BACKENDS:
        plain, permuted = Bank(backend, case.config), Bank(backend, case.config)
        for number, prompted, has_pointer in case.added:
            memory, pointer, absent = (
                rng.normal(size=(3, width, 1, 2)),
                rng.normal(size=(3, 8)),
                rng.random(3) < 0.5,
            )
            plain.add(number, memory, pointer if has_pointer else None, prompted, absent)
            permuted.add(number, memory[order], pointer[order] if has_pointer else None, prompted, absent[order])
        arguments = (case.frame, case.num_frames, case.backwards, case.training)
        expected, actual = plain.tokens(*arguments), permuted.tokens(*arguments)
        np.testing.assert_array_equal(actual.memory, expected.memory[:, order])
        np.testing.assert_array_equal(actual.memory_pos, expected.memory_pos)


def test_a_stream_needs_no_length(make_bank: Callable[..., Bank]) -> None:
    bank = make_bank(make_config(max_obj_ptrs_in_encoder=4))
    for frame in range(6):
        bank.add(frame, memory_of(frame), pointer_of(frame), conditioning=frame == 0)
    endless, long = bank.tokens(6, None), bank.tokens(6, 1000)
    assert endless.pointer_frames == long.pointer_frames == (0, 5, 4, 3)
    np.testing.assert_array_equal(endless.memory_pos, long.memory_pos)


def test_remove_and_clear(make_bank: Callable[..., Bank]) -> None:
    bank = make_bank(make_config())
    bank.add(0, memory_of(0), pointer_of(0), conditioning=True)
    bank.add(1, memory_of(1), pointer_of(1))
    bank.bank.remove(1)
    bank.add(1, memory_of(2), pointer_of(2), conditioning=True)
    assert bank.tokens(2, 3).memory_frames == (0, 1)
    assert bank.tokens(2, 3).memory[4:8].tolist() == [[[2.0] * 4]] * 4
    bank.bank.clear()
    bank.add(0, memory_of(0, height=1), conditioning=True)
    assert bank.tokens(1, 3).memory_frames == (0,)


def test_wide_pointers_widen_the_tokens(make_bank: Callable[..., Bank]) -> None:
    """A memory stored in half precision and a pointer in single, as in SAM 2: nothing is lost."""
    bank = make_bank(make_config())
    bank.add(0, memory_of(1).astype(np.float16), (pointer_of(1) / 3).astype(np.float32), conditioning=True)
    tokens = bank.tokens(1, 2)
    assert tokens.memory.dtype == tokens.memory_pos.dtype == np.float32
    assert tokens.memory[-1, 0, 0] == np.float32(1 / 3)


def test_a_bank_without_a_prompt_has_no_tokens(make_bank: Callable[..., Bank]) -> None:
    bank = make_bank(make_config())
    bank.add(0, memory_of(0))
    with pytest.raises(ValueError, match="no conditioning frame, expected at least one to track frame 1"):
        bank.bank.tokens(1, 10)
