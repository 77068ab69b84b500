"""What the reference's bank forgets."""

from hypothesis import given

from banks import Bank, Scenario, scenarios


@given(scenarios())
def test_a_bank_that_forgets_keeps_only_what_is_seen_later(case: Scenario) -> None:
    """Whatever is kept of the past, but one conditioning frame, is seen by some frame from f on."""
    bank = Bank("reference", case.config)
    case.fill(bank, 0)
    bank.bank.forget(case.frame, case.training)
    seen_memories, seen_pointers = set(), set()
    future = case._replace(num_frames=100, backwards=False)
    for frame in range(case.frame, 60):
        # Frames to come may be prompted or not: the past is seen most while none is.
        added = [entry for entry in case.added if entry[0] < case.frame]
        if any(prompted for _, prompted, _ in added):
            memories, pointers = future._replace(frame=frame, added=added).choose()
            seen_memories |= {number for number, _ in memories}
            seen_pointers |= {number for number, _ in pointers}
    past = sorted(number for number in case.conditioning if number < case.frame)
    spare = set(past[-(case.settings.max_cond_frames_in_attn + 1) :][:1])
    if past:
        assert {number for number in bank.bank.memories if number < case.frame} - spare <= seen_memories
    if past and case.settings.use_obj_ptrs_in_encoder:
        assert {number for number in bank.bank.pointers if number < case.frame} - spare <= seen_pointers
