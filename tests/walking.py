"""What a memory bank must give, found by walking from frame to frame, and made token by token."""

import math

import numpy as np

from banks import Scenario


def choose_by_walking(case: Scenario) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """What `Scenario.choose` gives, found by walking from frame to frame instead of by formulas."""
    settings, f = case.settings, case.frame
    step = 1 if case.backwards else -1
    stride = 1 if case.training else settings.memory_temporal_stride_for_eval

    left = list(case.conditioning)
    selected: list[int] = []
    if settings.max_cond_frames_in_attn in range(2, len(left)):
        # Walk down from f − 1 to the nearest before, and up from f to the nearest at or after.
        for walk in (range(f - 1, -1, -1), range(f, case.num_frames)):
            for number in walk:
                if number in left:
                    selected.append(number)
                    left.remove(number)
                    break
        while len(selected) < settings.max_cond_frames_in_attn:
            nearest = left[0]
            for number in left:
                if abs(number - f) < abs(nearest - f):
                    nearest = number
            selected.append(nearest)
            left.remove(nearest)
    else:
        selected, left = left, []

    others = {number for number in case.memories if number not in case.conditioning} | set(left)
    memories = [(number, 0) for number in selected]
    seen = [f + step]
    number = f + 2 * step
    while len(seen) < settings.num_maskmem - 1:
        if number % stride == 0:
            seen.append(number)
        number += step
    for slot, number in enumerate(reversed(seen[: settings.num_maskmem - 1]), start=1):
        if number in others:
            memories.append((number, slot))

    if not settings.use_obj_ptrs_in_encoder:
        return memories, []
    pointers = []
    for number in selected:
        ago = number - f if case.backwards else f - number
        to_come = ago < 0
        if number not in case.pointers:
            continue
        if to_come and settings.only_obj_ptrs_in_the_past_for_eval and not case.training:
            continue
        if to_come and not settings.use_signed_tpos_enc_to_obj_ptrs:
            ago = -ago
        pointers.append((number, ago))
    number = f + step
    for ago in range(1, min(settings.max_obj_ptrs_in_encoder, case.num_frames)):
        if number in others and number in case.pointers:
            pointers.append((number, ago))
        number += step
    return memories, pointers


def tokens_one_by_one(
    case: Scenario, parameters: dict[str, np.ndarray], seed: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """What `tokens` gives for `Scenario.fill`, token by token and channel by channel."""
    settings = case.settings
    d_model, width = case.config.memory_attention.d_model, case.config.memory_attention.memory_dim
    rng = np.random.default_rng(seed)
    memories, pointers = {}, {}
    for number, _, _ in case.added:
        memory, pointer = rng.normal(size=(2, width, 2, 3)), rng.normal(size=(2, d_model))
        for b, absent in enumerate(rng.random(2) < 0.3):
            if absent and settings.no_obj_embed_spatial:
                memory[b] += parameters["no_obj_embed_spatial"][0, :, None, None]
        memories[number], pointers[number] = memory, pointer

    chosen_memories, chosen_pointers = choose_by_walking(case)
    tokens, places = [], []
    for number, slot in chosen_memories:
        for y in range(2):
            for x in range(3):
                tokens.append(memories[number][:, :, y, x])
                place = parameters["maskmem_tpos_enc"][settings.num_maskmem - slot - 1, 0, 0].copy()
                for c in range(width):
                    turn = (y + 1) / (2 + 1e-6) if c < width // 2 else (x + 1) / (3 + 1e-6)
                    i = c % (width // 2)
                    angle = 2 * math.pi * turn / 10000 ** (2 * (i // 2) / (width // 2))
                    place[c] += math.cos(angle) if i % 2 else math.sin(angle)
                places.append(place)
    reach = min(settings.max_obj_ptrs_in_encoder, case.num_frames)
    for number, distance in chosen_pointers:
        place = np.zeros(width)
        if settings.add_tpos_enc_to_obj_ptrs:
            half = (d_model if settings.proj_tpos_enc_in_obj_ptrs else width) // 2
            angles = [distance / max(1, reach - 1) / 10000 ** (2 * (i // 2) / half) for i in range(half)]
            place = np.array([math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles])
            if settings.proj_tpos_enc_in_obj_ptrs:
                place = parameters["obj_ptr_tpos_proj.weight"] @ place + parameters["obj_ptr_tpos_proj.bias"]
        for start in range(0, d_model, width):
            tokens.append(pointers[number][:, start : start + width])
            places.append(place)
    memory_pos = np.array(places)[:, None].repeat(2, axis=1)
    return np.array(tokens), memory_pos, len(chosen_pointers) * (d_model // width)
