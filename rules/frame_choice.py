"""Which frames a frame sees: arithmetic on frame numbers, the same for both backends.

Some frames are *conditioning* (prompted by the user), all others only tracked. In the formulas f is the
current frame; n is a frame with outputs in the bank.
Source: SAM 2, Ravi et al., 2024, arXiv:2408.00714, section 4 ("Memory bank"); the details are those of
`SAM2Base._prepare_memory_conditioned_features`.
"""

from collections.abc import Collection, Sequence

from ..configs.schema import MemoryBankConfig


def select_conditioning_frames(frame: int, conditioning: Sequence[int], limit: int) -> list[int]:
    """The conditioning frames that `frame` sees, of all in the order in which they were added.

    Up to `limit` (−1: no limit) all of them, in that order. If they are more: the nearest before f, the
    nearest at or after f, then the nearest of the rest by |f − n|, of two at one distance the one added
    first. The same in both directions of tracking.
    """
    if limit == -1 or len(conditioning) <= limit:
        return list(conditioning)
    before = [number for number in conditioning if number < frame]
    at_or_after = [number for number in conditioning if number >= frame]
    selected = [max(before)] if before else []
    selected += [min(at_or_after)] if at_or_after else []
    rest = [number for number in conditioning if number not in selected]
    # sorted() keeps the order of addition among equals.
    rest = sorted(rest, key=lambda number: abs(frame - number))
    return selected + rest[: limit - len(selected)]


def slot_frames(frame: int, num_maskmem: int, stride: int, backwards: bool = False) -> list[tuple[int, int]]:
    """The (frame number, slot t) of the slots t = 1 (farthest) … num_maskmem − 1 (nearest).

    With k = num_maskmem − t and r = `stride`: k = 1 is f − 1; k ≥ 2 is ⌊(f − 2)/r⌋·r − (k − 2)·r, every
    r-th frame of the video. Backwards: f + 1 and ⌈(f + 2)/r⌉·r + (k − 2)·r. The numbers may lie outside
    the video.
    """
    chosen = []
    for slot in range(1, num_maskmem):
        k = num_maskmem - slot
        if backwards:
            # ⌈a/r⌉ = −⌊−a/r⌋
            number = frame + 1 if k == 1 else -(-(frame + 2) // stride) * stride + (k - 2) * stride
        else:
            number = frame - 1 if k == 1 else (frame - 2) // stride * stride - (k - 2) * stride
        chosen.append((number, slot))
    return chosen


def memory_frames(
    frame: int,
    conditioning: Sequence[int],
    stored: Collection[int],
    settings: MemoryBankConfig,
    backwards: bool = False,
    training: bool = False,
) -> list[tuple[int, int]]:
    """The (frame number, slot) of every memory that `frame` sees, in the order of its tokens.

    First the selected conditioning frames, at slot 0, then `slot_frames`, with stride 1 in training.
    `stored` are the frames that have a memory. A slot is skipped if its frame has none, or is seen at
    slot 0; a conditioning frame that was not selected fills a slot like any other.
    """
    selected = select_conditioning_frames(frame, conditioning, settings.max_cond_frames_in_attn)
    slots = slot_frames(frame, settings.num_maskmem, _stride(settings, training), backwards)
    return [(number, 0) for number in selected] + [
        (number, slot) for number, slot in slots if number in stored and number not in selected
    ]


def pointer_frames(
    frame: int,
    num_frames: int | None,
    conditioning: Sequence[int],
    stored: Collection[int],
    settings: MemoryBankConfig,
    backwards: bool = False,
    training: bool = False,
) -> list[tuple[int, int]]:
    """The (frame number, distance) of every object pointer that `frame` sees, in the order of its tokens.

    First the selected conditioning frames, in evaluation only those n ≤ f (backwards n ≥ f) where
    `only_obj_ptrs_in_the_past_for_eval`; their distance is f − n (backwards n − f), or |f − n| without
    `use_signed_tpos_enc_to_obj_ptrs`. Then f − 1, f − 2, … f − (P − 1) (backwards f + 1, …) at the
    distances 1, 2, …, up to the video's ends; P is `pointer_reach`. `stored` are the frames that have a
    pointer; the others are skipped. None without `use_obj_ptrs_in_encoder`.
    """
    if not settings.use_obj_ptrs_in_encoder:
        return []
    towards_past = -1 if backwards else 1
    selected = select_conditioning_frames(frame, conditioning, settings.max_cond_frames_in_attn)
    only_past = settings.only_obj_ptrs_in_the_past_for_eval and not training
    chosen = []
    for number in selected:
        distance = (frame - number) * towards_past
        if number in stored and (distance >= 0 or not only_past):
            chosen.append((number, distance if settings.use_signed_tpos_enc_to_obj_ptrs else abs(distance)))
    for distance in range(1, pointer_reach(num_frames, settings)):
        number = frame - distance * towards_past
        if number < 0 or (num_frames is not None and number >= num_frames):
            break
        if number in stored and number not in selected:
            chosen.append((number, distance))
    return chosen


def pointer_reach(num_frames: int | None, settings: MemoryBankConfig) -> int:
    """P = min(`max_obj_ptrs_in_encoder`, frames in the video): pointers reach back to f − (P − 1).

    Without `num_frames`, of a stream that has no end yet, P is `max_obj_ptrs_in_encoder`.
    """
    limit = settings.max_obj_ptrs_in_encoder
    return limit if num_frames is None else min(limit, num_frames)


def lasting_frames(
    frame: int,
    conditioning: Sequence[int],
    memories: Collection[int],
    pointers: Collection[int],
    settings: MemoryBankConfig,
    training: bool = False,
) -> tuple[list[int], list[int], list[int]]:
    """What `frame` and all after it may still see, tracking forwards: the rest can be forgotten.

    Of the frames that are conditioning, have a memory, have a pointer: those to be kept as such. Slots
    and pointers never move back in time, so what is before f and out of the reach of f is so for good.
    """
    limit = settings.max_cond_frames_in_attn
    past = sorted(number for number in conditioning if number < frame)
    # Only the last `limit` can be selected; one more keeps them too many, which is what orders them.
    forgotten = [] if limit == -1 else past[: -(limit + 1)]
    kept = [number for number in conditioning if number not in forgotten]
    slots = slot_frames(frame, settings.num_maskmem, _stride(settings, training))
    visible = {*kept, *(number for number, _ in slots)}
    reach = pointer_reach(None, settings)
    return (
        kept,
        [number for number in memories if number >= frame or number in visible],
        [number for number in pointers if number > frame - reach or number in kept],
    )


def _stride(settings: MemoryBankConfig, training: bool) -> int:
    return 1 if training else settings.memory_temporal_stride_for_eval
