"""Every backend computes what the reference computes in float64."""

import pytest
import torch
from hypothesis import given

import memory_attention as ma
from cases import cases
from checks import check_equivalence, error, rejecting_refusals
from memory_attention.inputs import draw_inputs
from memory_attention.tolerances import bound


@given(case=cases())
def test_every_step_and_the_whole(case, backend, device, dtype, choices):
    with rejecting_refusals(choices["kernel"], device, dtype):
        check_equivalence(case, backend, device, dtype, **choices)


@given(case=cases())
def test_the_reference_obeys_the_same_rule(case, dtype):
    check_equivalence(case, "reference", "cpu", dtype)


@given(case=cases(max_layers=1))
def test_a_tensor_gives_what_an_array_gives(case, device):
    model = ma.load(case.config, "accelerated", case.weights, device=device, dtype="float64")
    from_arrays = model(*case.inputs)
    tensors = [torch.from_numpy(a.copy()) if hasattr(a, "dtype") else a for a in case.inputs]
    from_tensors = model(*tensors)
    assert from_tensors.device == tensors[0].device
    assert error(from_tensors.detach().numpy(), from_arrays) <= bound("float64")


@pytest.mark.parametrize("name", [n for n in ma.available_configs() if n != "tiny"])
def test_every_config_on_a_small_grid(name, backend, device):
    parsed = ma.load_config(name)
    inputs = draw_inputs(parsed, memories=2, grid=(6, 6))
    truth = ma.load(parsed, "reference", dtype="float64")(*inputs)
    assert error(ma.load(parsed, backend, device=device)(*inputs), truth) <= bound("float32", 20.0)
