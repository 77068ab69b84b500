"""The test of the tests: a deliberately wrong step in one backend, or in both, is caught."""

import pytest
from hypothesis import Phase, given, settings

from cases import cases
from checks import check_equivalence, check_gradients_by_hand, check_off_the_fast_path
from faults import (
    FAULT_OF_FEW_DIGITS,
    FAULTS,
    FAULTS_IN_GRADIENTS,
    FAULTS_IN_MEMORY_SPACE,
    FAULTS_OFF_THE_FAST_PATH,
    planted,
)
from golden import check_golden
from memory_attention.accelerated import axial

each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))


@settings(phases=[Phase.generate], derandomize=True, database=None, max_examples=40)
@given(case=cases())
def equivalence(case):
    check_equivalence(case, "accelerated", "cpu", "float64")


@settings(phases=[Phase.generate], derandomize=True, database=None, max_examples=40)
@given(case=cases())
def off_the_fast_path(case):
    check_off_the_fast_path(case)


@settings(phases=[Phase.generate], derandomize=True, database=None, max_examples=40)
@given(case=cases())
def in_memory_space(case):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(axial, "TILE_SIDE", 2)
        check_equivalence(case, "accelerated", "cpu", "float64", "axial", memory_space=True)


@settings(phases=[Phase.generate], derandomize=True, database=None, max_examples=40)
@given(case=cases())
def gradients_by_hand(case):
    check_gradients_by_hand(case, case.inputs)


@settings(phases=[Phase.generate], derandomize=True, database=None, max_examples=40)
@given(case=cases())
def in_half_precision(case):
    check_equivalence(case, "accelerated", "cpu", "bfloat16")


def test_without_a_fault_all_is_well():
    equivalence()
    in_half_precision()
    off_the_fast_path()
    in_memory_space()
    gradients_by_hand()
    check_golden("reference")
    check_golden("accelerated")


@pytest.mark.parametrize("package", ["reference", "accelerated"])
@each_fault
def test_a_fault_in_one_backend_is_caught_by_equivalence(fault, package):
    with planted(fault, package), pytest.raises(AssertionError):
        equivalence()


def test_what_no_bound_catches_in_half_precision_is_caught_beside_the_textbook():
    with planted(FAULT_OF_FEW_DIGITS, "accelerated"), pytest.raises(AssertionError, match="beside the textbook"):
        in_half_precision()


@pytest.mark.parametrize("fault", FAULTS_OFF_THE_FAST_PATH, ids=lambda fault: fault.name.replace(" ", "-"))
def test_a_fault_off_the_fast_path_is_caught_there(fault):
    with planted(fault, "accelerated"), pytest.raises(AssertionError):
        off_the_fast_path()


@pytest.mark.parametrize("fault", FAULTS_IN_MEMORY_SPACE, ids=lambda fault: fault.name.replace(" ", "-"))
def test_a_fault_in_memory_space_is_caught_there(fault):
    with planted(fault, "accelerated"), pytest.raises(AssertionError):
        in_memory_space()


@pytest.mark.parametrize("fault", FAULTS_IN_GRADIENTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_a_fault_in_the_gradients_by_hand_is_caught_by_autograd(fault):
    with planted(fault, "reference"), pytest.raises(AssertionError):
        gradients_by_hand()


@each_fault
def test_a_fault_in_both_backends_is_caught_by_the_golden_values(fault):
    with planted(fault, "reference"), planted(fault, "accelerated"):
        for backend in ("reference", "accelerated"):
            with pytest.raises(AssertionError):
                check_golden(backend)
