"""Which frames no later frame can see, so that a bank stays small however long the video is."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ..configs.schema import MemoryBankConfig
from .frame_choice import pointer_reach, reliable_frames, slot_frames, stride_of


class Lasting(NamedTuple):
    """The frames that stay: as conditioning, with a memory, with a pointer, with a score."""

    conditioning: list[int]
    memories: list[int]
    pointers: list[int]
    scores: list[int]


def lasting_frames(
    frame: int,
    conditioning: Sequence[int],
    memories: Collection[int],
    pointers: Collection[int],
    settings: MemoryBankConfig,
    training: bool = False,
    backwards: bool = False,
    scores: Mapping[int, float] | None = None,
) -> Lasting:
    """What `frame` and all after it (backwards: before it) may still see; all else can be forgotten.

    The frames are those that are conditioning, have a memory, have a pointer; `scores` those of the tracked
    ones. Nothing moves towards the past as f moves on, so what f cannot reach is out of reach for good;
    and that whatever is done to f and the frames after it, which may be taken out and added anew.
    """
    forwards = -1 if backwards else 1

    def age(number: int) -> int:
        return (frame - number) * forwards

    forgotten = _unselectable(sorted((n for n in conditioning if age(n) > 0), key=age), settings)
    kept = [number for number in conditioning if number not in forgotten]
    scores = scores or {}
    reach = pointer_reach(None, settings)
    if settings.use_memory_selection:
        past = {number: score for number, score in scores.items() if age(number) > 0}
        # Frames r apart choose among the same ones.
        turns = [
            reliable_frames(frame + turn * forwards, None, past, settings, backwards, training)
            for turn in range(stride_of(settings, training))
        ]
        in_slots = {number for turn in turns for number in turn[: max(0, settings.num_maskmem - 1)]}
        pointing = {number for turn in turns for number in turn[:-1]}
        counted = {number for turn in turns for number in turn}
    else:
        slots = slot_frames(frame, settings.num_maskmem, stride_of(settings, training), backwards)
        in_slots = {number for number, _ in slots}
        pointing = {number for number in pointers if age(number) < reach}
        counted = set()
    return Lasting(
        kept,
        [number for number in memories if age(number) <= 0 or number in in_slots or number in kept],
        [number for number in pointers if age(number) <= 0 or number in pointing or number in kept],
        [number for number in scores if age(number) <= 0 or number in counted],
    )


def _unselectable(past: Sequence[int], settings: MemoryBankConfig) -> set[int]:
    """Of conditioning frames of the past, the nearest first, those that can be selected no more."""
    limit = settings.max_cond_frames_in_attn
    if limit == -1:
        return set()
    # The nearest can be selected, and the first of all; one beyond the limit keeps them too many, which is
    # what orders them.
    spare = past[-1:] if settings.keep_first_cond_frame else past[limit : limit + 1]
    return set(past) - {*past[:limit], *spare}
