"""Objects of one frame, together: the same numbers as one bank after another, from fewer operations."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from both_banks import TINY, C, Heard, K, attention_of, bank_of, both, draw, own
from memory_attention import accelerated, reference
from memory_attention.cost import step_costs
from memory_attention.tolerances import bound

FRAME = 6
PROMPTED = (0, 3, 2, 3, 5)
"""The frame in which each bank's objects were prompted: banks 0 and 2, and 1 and 3, see equally long memories."""
OBJECTS = (1, 2, 1, 1, 1)
GROUPS = ((0, 2), (1, 3), (4,))


def together(backend, *arguments, **more):
    return (reference if backend == "reference" else accelerated).attend_together(*arguments, **more)


def banks_of(backend):
    banks = []
    for number, (first, objects) in enumerate(zip(PROMPTED, OBJECTS, strict=True)):
        bank = bank_of(backend)
        for frame in range(first, FRAME):
            memory = own(backend, draw(objects, K, 2, 8, seed=10 * number + frame))
            bank.add(frame, memory, own(backend, draw(objects, C, seed=99 - frame)), conditioning=frame == first)
        banks.append(bank)
    return banks


def frame_of(backend):
    return [own(backend, draw(16, 1, C, seed=seed)) for seed in (1, 2)]


def objects_of(features, bank):
    """A frame once for each object of a bank."""
    count = next(iter(bank.memories.values())).shape[0]
    return np.repeat(features, count, 1) if isinstance(features, np.ndarray) else features.expand(-1, count, -1)


@both
@pytest.mark.parametrize("position", [True, False])
def test_the_same_as_one_after_another(backend, position):
    attention, banks, (features, place) = attention_of(backend), banks_of(backend), frame_of(backend)
    place = place if position else None
    found = together(backend, attention, banks, features, place, FRAME, None)
    assert [result.shape for result in found] == [(16, objects, C) for objects in OBJECTS]
    for bank, result in zip(banks, found, strict=True):
        shared = [None if each is None else objects_of(each, bank) for each in (features, place)]
        truth = bank.attend(attention, *shared, FRAME, None)
        assert abs(result - truth).max() <= bound("float32", 10) * abs(truth).max()
    assert together(backend, attention, [], features, place, FRAME, None) == []


@both
def test_one_call_for_all_that_see_equally_long_memories(backend):
    heard = []

    def attention(**given):
        heard.append(given)
        return given["curr"] + 0 * given["memory"][:1, :, :1]

    banks, (features, place) = banks_of(backend), frame_of(backend)
    together(backend, attention, banks, features, place, FRAME, None, backwards=False, training=True)
    assert [given["memory"].shape[1] for given in heard] == [2, 3, 1]
    for given, group in zip(heard, GROUPS, strict=True):
        seen = [banks[number].tokens(FRAME, None, training=True) for number in group]
        assert given["grid"] == (2, 8)
        for name in ("memory", "memory_pos"):
            joined = np.concatenate([np.asarray(getattr(tokens, name)) for tokens in seen], axis=1)
            np.testing.assert_array_equal(np.asarray(given[name]), joined)
        assert {given["num_obj_ptr_tokens"]} == {tokens.num_obj_ptr_tokens for tokens in seen}


def test_the_objects_of_a_batch_share_what_comes_before_their_memories():
    """Counted by PyTorch: each group costs what a shared frame costs, which is less than one after another."""
    attention, banks, frame = attention_of("accelerated"), banks_of("accelerated"), frame_of("accelerated")
    attention.use_kernel("textbook", memory_space=False)
    expected = one_after_another = 0
    for group in GROUPS:
        tokens = len(banks[group[0]].tokens(FRAME, None).memory)
        objects = [OBJECTS[number] for number in group]
        expected += sum(cost.flops for cost in step_costs(TINY, 16, tokens, sum(objects), shared=True))
        one_after_another += sum(
            cost.flops for count in objects for cost in step_costs(TINY, 16, tokens, count, shared=True)
        )
    counted = []

    def counting(**given):
        with FlopCounterMode(display=False) as counter:
            result = attention(**given)
        counted.append(counter.get_total_flops())
        return result

    accelerated.attend_together(counting, banks, *frame, FRAME, None)
    assert sum(counted) == expected < one_after_another


def test_the_reference_is_given_the_frame_once():
    heard = Heard()
    banks, (features, place) = banks_of("reference")[1:2], frame_of("reference")
    reference.attend_together(lambda **given: heard(**given).repeat(2, 1), banks, features, place, FRAME, None)
    assert heard.given["curr"] is features
    assert heard.given["curr_pos"] is place


@both
@pytest.mark.usefixtures("unchecked_shapes")
def test_what_does_not_fit_is_named(backend):
    attention, banks, (features, place) = attention_of(backend), banks_of(backend), frame_of(backend)
    with pytest.raises(ValueError, match="features has batch 2, expected 1: a frame that all objects share"):
        together(backend, attention, banks, objects_of(features, banks[1]), place, FRAME, None)
    with pytest.raises(ValueError, match="no conditioning frame"):
        together(backend, attention, [*banks, bank_of(backend)], features, place, FRAME, None)
    square = bank_of(backend)
    square.add(0, own(backend, draw(1, K, 4, 4)), conditioning=True)
    with pytest.raises(ValueError, match=r"grid is \(2, 8\), expected that of the memories, \(4, 4\)"):
        together(backend, attention, [*banks, square], features, place, FRAME, None)


def test_modules_of_others_are_given_the_frame_for_each_object():
    """SAM 2's own takes no grid, and as many frames as objects."""

    class Theirs(torch.nn.Module):
        def forward(self, curr, memory, curr_pos, memory_pos, num_obj_ptr_tokens):
            assert curr.shape[1] == curr_pos.shape[1] == memory.shape[1]
            return curr

    banks = []
    for seed in (1, 2):
        bank = bank_of("accelerated")
        bank.add(0, own("accelerated", draw(1, K, 4, 4, seed=seed)), conditioning=True)
        bank.pointers[0] = own("accelerated", draw(1, C, seed=seed))
        banks.append(bank)
    features, place = frame_of("accelerated")
    found = accelerated.attend_together(Theirs(), banks, features, place, 1, None)
    assert all(torch.equal(result, features) for result in found)
