"""Which frames a frame sees: arithmetic on frame numbers, the same for both backends.

Some frames are *conditioning* (prompted by the user), all others only tracked. In the formulas f is the
current frame; n is a frame with outputs in the bank.
Source: SAM 2, Ravi et al., 2024, arXiv:2408.00714, section 4 ("Memory bank"); the details are those of
`SAM2Base._prepare_memory_conditioned_features`. What is said to be SAM 3's is from its published code:
`Sam3TrackerBase` (there with `frame_filter`) and `select_closest_cond_frames`.
"""

from collections.abc import Collection, Mapping, Sequence

from ..configs.schema import MemoryBankConfig


def select_conditioning_frames(
    frame: int, conditioning: Sequence[int], limit: int, keep_first: bool = False
) -> list[int]:
    """The conditioning frames that `frame` sees, of all in the order in which they were added.

    Up to `limit` (−1: no limit) all of them, in that order. If they are more: the nearest before f, the
    nearest at or after f, then the nearest of the rest by |f − n|, of two at one distance the one added
    first. The same in both directions of tracking. SAM 3's `keep_first` puts before them the first of the
    video, or where none is before f the last (tracking backwards, it came first).
    """
    if limit == -1 or len(conditioning) <= limit:
        return list(conditioning)
    before = [number for number in conditioning if number < frame]
    at_or_after = [number for number in conditioning if number >= frame]
    selected = []
    if keep_first:
        selected += [min(before)] if before else [max(at_or_after)]
    selected += [max(before)] if before else []
    selected += [min(at_or_after)] if at_or_after else []
    selected = list(dict.fromkeys(selected))
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


def reliable_frames(
    frame: int,
    num_frames: int | None,
    scores: Mapping[int, float],
    settings: MemoryBankConfig,
    backwards: bool = False,
    training: bool = False,
) -> list[int]:
    """SAM 3's memory selection: the past frames on which the object was surely seen, the nearest first.

    `scores` are the effective IoU scores of the tracked frames: the mean over the objects of
    max(0, 2σ(o) − 1) · IoU, with the predicted object score o (a logit) and IoU. Of f − 1, f − 1 − r,
    f − 1 − 2r, … down to 1 (frame 0 is left out) those with a score above `mf_threshold`, the nearest P − 1;
    and f − 1 whatever its score. Backwards f + 1, f + 1 + r, … to the video's end.
    """
    towards_past = -1 if backwards else 1
    newest = frame - towards_past
    stride = stride_of(settings, training)
    good = [
        number
        for number, score in scores.items()
        if score > settings.mf_threshold
        and (newest - number) * towards_past >= 0
        and (newest - number) % stride == 0
        and number > 0
    ]
    nearest = sorted(good, reverse=not backwards)[: pointer_reach(num_frames, settings) - 1]
    return nearest if newest in nearest else [newest, *nearest]


def memory_frames(
    frame: int,
    conditioning: Sequence[int],
    stored: Collection[int],
    settings: MemoryBankConfig,
    backwards: bool = False,
    training: bool = False,
    num_frames: int | None = None,
    scores: Mapping[int, float] | None = None,
) -> list[tuple[int, int]]:
    """The (frame number, slot) of every memory that `frame` sees, in the order of its tokens.

    First the selected conditioning frames, at slot 0, then `slot_frames`, with stride 1 in training; with
    `use_memory_selection` instead of them `reliable_frames`, the nearest at slot num_maskmem − 1. `stored`
    are the frames that have a memory. A slot is skipped if its frame has none, or is seen at slot 0; a
    conditioning frame that was not selected fills a slot like any other.
    """
    selected = _selected(frame, conditioning, settings)
    if settings.use_memory_selection:
        reliable = reliable_frames(frame, num_frames, scores or {}, settings, backwards, training)
        newest_slot = settings.num_maskmem - 1
        slots = list(zip(reliable, range(newest_slot, 0, -1), strict=False))[::-1]
    else:
        slots = slot_frames(frame, settings.num_maskmem, stride_of(settings, training), backwards)
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
    scores: Mapping[int, float] | None = None,
) -> list[tuple[int, int]]:
    """The (frame number, distance) of every object pointer that `frame` sees, in the order of its tokens.

    First the selected conditioning frames, in evaluation only those n ≤ f (backwards n ≥ f) where
    `only_obj_ptrs_in_the_past_for_eval`; their distance is f − n (backwards n − f), or |f − n| without
    `use_signed_tpos_enc_to_obj_ptrs`. Then f − 1, f − 2, … f − (P − 1) (backwards f + 1, …) at the
    distances 1, 2, …, up to the video's ends; P is `pointer_reach`. With `use_memory_selection` instead of
    them all `reliable_frames` but the farthest, as SAM 3 has it, at the distances 1, 2, … in their order.
    `stored` are the frames that have a pointer; the others are skipped. None without
    `use_obj_ptrs_in_encoder`.
    """
    if not settings.use_obj_ptrs_in_encoder:
        return []
    towards_past = -1 if backwards else 1
    selected = _selected(frame, conditioning, settings)
    only_past = settings.only_obj_ptrs_in_the_past_for_eval and not training
    chosen = []
    for number in selected:
        distance = (frame - number) * towards_past
        if number in stored and (distance >= 0 or not only_past):
            chosen.append((number, distance if settings.use_signed_tpos_enc_to_obj_ptrs else abs(distance)))
    if settings.use_memory_selection:
        recent = reliable_frames(frame, num_frames, scores or {}, settings, backwards, training)[:-1]
    else:
        recent = [frame - distance * towards_past for distance in range(1, pointer_reach(num_frames, settings))]
    for distance, number in enumerate(recent, start=1):
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


def stride_of(settings: MemoryBankConfig, training: bool) -> int:
    """r: every frame in training, else every r-th."""
    return 1 if training else settings.memory_temporal_stride_for_eval


def _selected(frame: int, conditioning: Sequence[int], settings: MemoryBankConfig) -> list[int]:
    return select_conditioning_frames(
        frame, conditioning, settings.max_cond_frames_in_attn, settings.keep_first_cond_frame
    )
