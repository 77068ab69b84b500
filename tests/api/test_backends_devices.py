"""A device that is not there is one clear word, whatever PyTorch makes of it."""

import pytest

import memory_attention as ma


@pytest.mark.parametrize("device", ["hpu", "xpu", "mps:3", "meta", "privateuseone", "cuda:999", "abacus", ""])
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(ValueError, match=f"^device is '{device}', ") as refusal:
        ma.load("tiny", "accelerated", device=device)
    assert len(str(refusal.value)) < 250
    assert "\n" not in str(refusal.value)
