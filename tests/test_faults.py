"""The test of the tests: a deliberately wrong step in one backend, or in both, is caught."""

import pytest
from cases import cases
from checks import check_equivalence
from faults import FAULTS, planted
from hypothesis import Phase, given, settings
from test_golden import check_golden

each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))


@settings(phases=[Phase.generate], derandomize=True, database=None, max_examples=40)
@given(case=cases())
def equivalence(case):
    check_equivalence(case, "accelerated", "cpu", "float64")


def test_without_a_fault_all_is_well():
    equivalence()
    check_golden("reference")
    check_golden("accelerated")


@pytest.mark.parametrize("package", ["reference", "accelerated"])
@each_fault
def test_a_fault_in_one_backend_is_caught_by_equivalence(fault, package):
    with planted(fault, package), pytest.raises(AssertionError):
        equivalence()


@each_fault
def test_a_fault_in_both_backends_is_caught_by_the_golden_values(fault):
    with planted(fault, "reference"), planted(fault, "accelerated"):
        for backend in ("reference", "accelerated"):
            with pytest.raises(AssertionError):
                check_golden(backend)
