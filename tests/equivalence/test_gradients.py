"""The gradients by hand are those of the accelerated backend's autograd."""

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given

from cases import cases, shared_frame
from checks import error
from memory_attention import accelerated, reference
from memory_attention.reference.backward import memory_attention_backward, memory_attention_forward
from memory_attention.tolerances import bound
from memory_attention.weights import PREFIX

REACH = 100.0
"""More than the largest logit of any drawn case."""


def check_against_autograd(case, inputs):
    """Relative to the largest value of each, or where all of it cancels to a thousandth of the largest of all."""
    network = case.config.memory_attention
    weights = {name.removeprefix(PREFIX): weight for name, weight in case.weights.items()}
    slow = reference.MemoryAttention.from_config(network)
    slow.load_parameters(weights)
    fast = accelerated.MemoryAttention.from_config(network).double().eval()
    fast.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})

    out, cache = memory_attention_forward(slow, *inputs)
    assert error(out, slow(*inputs)) <= bound("float64", REACH)
    d_out = np.random.default_rng(0).standard_normal(out.shape)
    *by_hand, gradients = memory_attention_backward(d_out, cache)

    tensors = [torch.from_numpy(np.array(a)).requires_grad_() if isinstance(a, np.ndarray) else a for a in inputs]
    fast(*tensors).backward(torch.from_numpy(d_out))
    names = ("curr", "memory", "curr_pos", "memory_pos")
    ours = dict(zip(names, by_hand, strict=True)) | gradients
    leaves = dict(zip(names, tensors, strict=False)) | dict(fast.named_parameters())
    theirs = {
        name: None if leaf is None or leaf.grad is None else leaf.grad.numpy() for name, leaf in leaves.items()
    }

    assert ours.keys() == theirs.keys()
    assert {n for n, g in ours.items() if g is None} == {n for n, g in theirs.items() if g is None}
    largest = max(np.abs(truth).max() for truth in theirs.values() if truth is not None)
    for name, truth in theirs.items():
        if truth is not None:
            assert ours[name].shape == truth.shape, name
            wrong = np.abs(ours[name] - truth).max() / max(np.abs(truth).max(), 1e-3 * largest)
            assert wrong <= bound("float64", REACH), f"{name}: off by {wrong:.1e}"


@given(case=cases())
def test_gradients_by_hand_are_those_of_autograd(case):
    check_against_autograd(case, case.inputs)


@given(case=cases(max_layers=1))
def test_a_frame_that_objects_share_collects_from_all_of_them(case):
    # The suite's checking of shapes takes the first axis for tokens.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        check_against_autograd(case, shared_frame(case)[0])
