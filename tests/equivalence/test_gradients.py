"""The gradients by hand are those of the accelerated backend's autograd."""

import jaxtyping
import pytest
from hypothesis import given

from cases import cases, shared_frame
from checks import check_gradients_by_hand


@given(case=cases())
def test_gradients_by_hand_are_those_of_autograd(case):
    check_gradients_by_hand(case, case.inputs)


@given(case=cases(max_layers=1))
def test_a_frame_that_objects_share_collects_from_all_of_them(case):
    # The suite's checking of shapes takes the first axis for tokens.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        check_gradients_by_hand(case, shared_frame(case)[0])
