"""The bank's parameters, by the names of SAM 2."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from banks import Bank, draw_parameters, make_config, settings_of_banks
from memory_attention import accelerated, reference


@given(settings_of_banks())
def test_parameters_have_the_names_of_sam_2(settings: dict[str, Any]) -> None:
    config = make_config(**settings)
    parameters = draw_parameters(config)
    state = accelerated.MemoryBank(config, parameters).state_dict()
    named = dict(reference.MemoryBank(config, parameters).named_parameters())
    assert set(state) == set(named) == set(parameters)
    for name, value in parameters.items():
        np.testing.assert_array_equal(state[name].numpy(), value)
        np.testing.assert_array_equal(named[name], value)


@pytest.mark.parametrize("name", ["maskmem_tpos_enc", "no_obj_embed_spatial", "obj_ptr_tpos_proj.bias"])
def test_parameters_that_are_missing_or_misshapen_are_named(make_bank: Callable[..., Bank], name: str) -> None:
    config = make_config(no_obj_embed_spatial=True, proj_tpos_enc_in_obj_ptrs=True)
    parameters = draw_parameters(config)
    with pytest.raises(ValueError, match=rf"{name} has shape .*, expected \("):
        make_bank(config, parameters | {name: np.zeros(3)})
    del parameters[name]
    with pytest.raises(ValueError, match=f"missing parameter {name}"):
        make_bank(config, parameters)


def test_parameters_of_a_whole_model_are_passed_over(make_bank: Callable[..., Bank]) -> None:
    config = make_config()
    bank = make_bank(config, draw_parameters(config) | {"memory_attention.norm.weight": np.ones(8)})
    assert not hasattr(bank.bank, "norm")
