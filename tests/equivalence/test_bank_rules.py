"""Both banks ask the rules with all that they were told, and what they give has the dtype of what came."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banks import BACKENDS, Bank, make_config, to_numpy
from both_banks import C, K, bank_of, both, draw, own, with_settings
from memory_attention.rules.forgetting import lasting_frames
from memory_attention.rules.frame_choice import memory_frames, pointer_frames
from stories import Story, stories


def bank_with(backend: str, story: Story) -> Any:
    """A bank that holds what the story says."""
    bank = Bank(backend, make_config(**story.settings.model_dump()))
    for number, (prompted, pointing, score) in story.contents.items():
        memory, pointer = np.full((1, 4, 1, 1), float(number)), np.full((1, 8), float(number))
        # A prompted frame has no score, and needs none.
        scored = {} if prompted else {"score": score}
        bank.bank.add(number, bank.own(memory), bank.own(pointer) if pointing else None, prompted, **scored)
    return bank.bank


def held_by(bank: Any) -> tuple[Any, ...]:
    return list(bank.conditioning), list(bank.memories), list(bank.pointers), list(bank.scores)


@given(stories(), st.data())
def test_banks_see_and_forget_what_the_rules_say(story: Story, data: st.DataObject) -> None:
    """In both directions, in training or not, in a video that may be shorter than what the bank holds."""
    num_frames = data.draw(st.none() | st.integers(story.frame + 1, story.num_frames))
    direction = (story.backwards, story.training)
    for backend in BACKENDS:
        bank = bank_with(backend, story)
        conditioning, memories, pointers, _ = held_by(bank)
        scores = {number: score for number, (prompted, _, score) in story.contents.items() if not prompted}
        assert bank.scores == scores
        if conditioning:
            tokens = bank.tokens(story.frame, num_frames, *direction)
            seen = memory_frames(
                story.frame, conditioning, memories, story.settings, *direction, num_frames, scores
            )
            pointing = pointer_frames(
                story.frame, num_frames, conditioning, pointers, story.settings, *direction, scores
            )
            assert tokens.memory_frames == tuple(number for number, _ in seen)
            assert tokens.pointer_frames == tuple(number for number, _ in pointing)
        lasting = lasting_frames(
            story.frame,
            conditioning,
            memories,
            pointers,
            story.settings,
            training=story.training,
            backwards=story.backwards,
            scores=scores,
        )
        bank.forget(story.frame, training=story.training, backwards=story.backwards)
        assert held_by(bank) == tuple(map(list, lasting))
        assert all(float(bank.memories[number].max()) == number for number in bank.memories)


@given(stories(), st.data())
def test_one_frame_is_removed_and_no_other(story: Story, data: st.DataObject) -> None:
    number = data.draw(st.sampled_from([*story.contents, 99]))
    others = story._replace(contents={n: content for n, content in story.contents.items() if n != number})
    for backend in BACKENDS:
        bank = bank_with(backend, story)
        bank.remove(number)
        assert held_by(bank) == held_by(bank_with(backend, others))


@both
@pytest.mark.parametrize("stored", ["float16", "float32", "float64"])
def test_what_is_added_is_rounded_once_to_the_dtype_that_came(backend: str, stored: str) -> None:
    """The embeddings are in float32; the sum, not they, is rounded to half precision."""
    bank = bank_of(backend, with_settings(no_obj_embed_spatial=True))
    features, memory = draw(6, 2, C, seed=1), draw(2, K, 2, 3, seed=2)
    given_features, given_memory = own(backend, features, stored), own(backend, memory, stored)
    bank.add(3, given_memory, absent=own(backend, np.array([False, True]), "bool"))
    wide = np.promote_types(stored, "float32")
    sums = (
        (bank.first_frame(given_features), given_features, bank.no_mem_embed),
        (bank.memories[3][1], given_memory[1], bank.no_obj_embed_spatial.reshape(K, 1, 1)),
        (bank.memories[3][0], given_memory[0], own(backend, np.zeros((K, 1, 1)), stored)),
    )
    for found, came, embedding in sums:
        expected = (to_numpy(came).astype(wide) + to_numpy(embedding).astype(wide)).astype(stored)
        assert to_numpy(found).dtype == stored
        np.testing.assert_array_equal(to_numpy(found), expected)
