"""Both banks alike: grids, dtypes, SAM 3's settings, forgetting in both directions, counts, copies."""

from collections.abc import Callable
from typing import Any

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import memory_attention as ma
from both_banks import BACKENDS, TINY, WEIGHTS, C, Heard, K, attention_of, bank_of, both, draw, own, with_settings

torch = pytest.importorskip("torch", reason="one of the two banks is PyTorch's")


# ---------------------------------------------------------------- grids


@both
@pytest.mark.parametrize(("height", "width"), [(2, 8), (8, 2), (4, 4), (3, 5)])
def test_the_memories_grid_is_the_frames(backend: str, height: int, width: int) -> None:
    bank, attention = bank_of(backend), attention_of(backend)
    bank.add(0, own(backend, draw(2, K, height, width)), own(backend, draw(2, C)), conditioning=True)
    query, position = (own(backend, draw(height * width, 2, C, seed=seed)) for seed in (1, 2))
    for call in (attention, ma.load(TINY, backend, WEIGHTS, device=None if backend == "reference" else "cpu")):
        with torch.no_grad():
            found = bank.attend(call, query, position, 1, 4)
            told = bank.attend(call, query, position, 1, 4, grid=(height, width))
        np.testing.assert_array_equal(found, told)
    seen = bank.tokens(1, 4)
    turned = attention(query, seen.memory, position, seen.memory_pos, seen.num_obj_ptr_tokens, (width, height))
    assert np.array_equal(found, turned) == (height == width)


@both
def test_a_square_of_memories_wins_over_feat_sizes(backend: str) -> None:
    """Sixteen tokens fit feat_sizes 8 × 2 as well: not what the memories are."""
    heard, bank = Heard(), bank_of(backend)
    bank.add(0, own(backend, draw(1, K, 4, 4)), conditioning=True)
    bank.attend(heard, own(backend, draw(16, 1, C)), None, 1, 4)
    assert heard.given["grid"] == (4, 4)


@both
@pytest.mark.parametrize(
    ("tokens", "grid", "kind", "message"),
    [
        (6, (3, 2), ValueError, r"grid is \(3, 2\), expected that of the memories, \(2, 3\)"),
        (6, (2, 4), ValueError, r"grid is \(2, 4\), expected that of the memories, \(2, 3\)"),
        (9, None, ValueError, r"features has 9 tokens, expected the memories' grid \(2, 3\)"),
        (6, "ab", TypeError, "grid is 'ab', expected a pair"),
    ],
)
def test_a_grid_that_the_memories_do_not_have(
    monkeypatch: pytest.MonkeyPatch, backend: str, tokens: int, grid: Any, kind: type[Exception], message: str
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    bank = bank_of(backend)
    bank.add(0, own(backend, draw(1, K, 2, 3)), conditioning=True)
    with pytest.raises(kind, match=message):
        bank.attend(Heard(), own(backend, draw(tokens, 1, C)), None, 1, 4, grid=grid)


def test_sam_2_s_own_module_is_called_without_a_grid() -> None:
    """It has no such argument, and takes 16 tokens for 4 × 4."""

    class Theirs(torch.nn.Module):
        def forward(
            self, curr: Any, memory: Any, curr_pos: Any = None, memory_pos: Any = None, num_obj_ptr_tokens: int = 0
        ) -> Any:
            return curr + num_obj_ptr_tokens

    bank = bank_of("accelerated")
    bank.add(0, torch.zeros(1, K, 4, 4), torch.zeros(1, C), conditioning=True)
    assert (bank.attend(Theirs(), torch.zeros(16, 1, C), None, 1, 4) == C // K).all()
    bank.clear()
    bank.add(0, torch.zeros(1, K, 2, 8), torch.zeros(1, C), conditioning=True)
    with pytest.raises(TypeError, match="grid"):
        bank.attend(Theirs(), torch.zeros(16, 1, C), None, 1, 4)


# ---------------------------------------------------------------- dtypes


STORED = [
    *((backend, dtype) for backend in ("reference", "accelerated") for dtype in ("float16", "float32", "float64")),
    ("accelerated", "bfloat16"),
]


@pytest.mark.parametrize(("backend", "stored"), STORED)
def test_what_attend_hands_over_has_the_dtype_of_the_features(backend: str, stored: str) -> None:
    """Frame 2 comes before the prompt and sees no pointer, frame 4 sees one: places are rounded alike."""
    bank, attention = bank_of(backend), attention_of(backend)
    bank.add(3, own(backend, draw(1, K, 2, 3), stored), own(backend, draw(1, C)), conditioning=True)
    features, position = own(backend, draw(6, 1, C)), own(backend, draw(6, 1, C, seed=1))
    places = []
    for frame, pointers in ((4, 1), (2, 0)):
        heard = Heard()
        bank.attend(heard, features, position, frame, 8)
        assert len(heard.given["memory"]) == 6 + pointers * C // K
        assert heard.given["memory"].dtype == heard.given["memory_pos"].dtype == features.dtype
        places.append(np.array(heard.given["memory_pos"].tolist())[:6])
        assert bank.attend(attention, features, position, frame, 8).dtype == features.dtype
    np.testing.assert_array_equal(*places)
    exact = {"float16": np.float16, "float64": np.float64}.get(stored, np.float32)
    if stored != "bfloat16":
        kept = draw(1, K, 2, 3).astype(exact).astype(np.float32).reshape(K, 6).T
        np.testing.assert_array_equal(np.array(heard.given["memory"].tolist(), np.float32)[:, 0], kept)


@both
def test_tokens_have_one_dtype_whether_a_pointer_is_seen_or_not(backend: str) -> None:
    bank = bank_of(backend)
    bank.add(3, own(backend, draw(1, K, 2, 3), "float16"), own(backend, draw(1, C)), conditioning=True)
    assert {str(bank.tokens(frame, 8).memory.dtype).removeprefix("torch.") for frame in (4, 2)} == {"float32"}
    half = own(backend, draw(1), "float16").dtype
    assert bank.tokens(4, 8, dtype=half).memory_pos.dtype == half


@both
def test_places_are_added_in_float64_and_rounded_once(backend: str) -> None:
    """To float16: of two roundings, to float32 or of each summand, some number would differ."""
    bank = bank_of(backend)
    for frame in range(7):
        bank.add(frame, own(backend, draw(1, K, 5, 8), "float16"), conditioning=frame == 0)
    found = np.array(bank.tokens(7, 9).memory_pos.tolist())[:, 0].reshape(-1, 40, K)
    rows, columns = (np.arange(1, n + 1) / (n + 1e-6) * 2 * np.pi for n in (5, 8))
    place = np.zeros((5, 8, K))
    for channel in range(K // 2):
        wave = np.cos if channel % 2 else np.sin
        frequency = 10000 ** (2 * (channel // 2) / (K // 2))
        place[:, :, channel] = wave(rows / frequency)[:, None]
        place[:, :, K // 2 + channel] = wave(columns / frequency)[None]
    entries = WEIGHTS["maskmem_tpos_enc"][:, 0, 0].astype(np.float64)
    # Slot 0 takes the last entry, and the newest frame, the last, the first.
    count = TINY.memory_bank.num_maskmem
    order = [count - 1, *range(min(count, 7) - 2, -1, -1)]
    exact = place.reshape(1, 40, K) + entries[order][:, None]
    np.testing.assert_array_equal(found, exact.astype(np.float16))
    wide = bank.tokens(7, 9, dtype=own(backend, draw(1), "float64").dtype).memory_pos
    np.testing.assert_allclose(np.array(wide.tolist())[:, 0], exact.reshape(-1, K), rtol=0, atol=1e-12)
    assert (found != (place.astype(np.float16).reshape(1, 40, K) + entries[order][:, None].astype("f2"))).any()


def test_what_lies_right_is_not_copied() -> None:
    bank = bank_of("accelerated", with_settings(no_obj_embed_spatial=False))
    memory = torch.zeros(2, K, 3, 5).to(memory_format=torch.channels_last)
    pointer = torch.zeros(2, C)
    bank.add(0, memory, pointer, conditioning=True, absent=torch.tensor([True, False]))
    assert bank.memories[0].data_ptr() == memory.data_ptr()
    assert bank.pointers[0].data_ptr() == pointer.data_ptr()
    assert bank._spatial_tokens(0).data_ptr() == memory.data_ptr()
    bank.add(1, torch.zeros(2, K, 3, 5))
    assert bank.memories[1].is_contiguous(memory_format=torch.channels_last)
    theirs = bank_of("reference")
    arrays = draw(2, K, 3, 5), draw(2, C)
    theirs.add(0, *arrays, conditioning=True)
    assert (theirs.memories[0] is arrays[0], theirs.pointers[0] is arrays[1]) == (True, True)


# ---------------------------------------------------------------- flags on their way


@both
def test_attend_hands_on_every_flag(backend: str) -> None:
    """Each of them changes which frames are seen here, and how many tokens they are."""
    bank = bank_of(backend, with_settings(memory_temporal_stride_for_eval=2))
    for frame in range(12):
        memory, pointer = own(backend, draw(1, K, 2, 3, seed=frame)), own(backend, draw(1, C, seed=frame))
        bank.add(frame, memory, pointer if frame % 2 else None, conditioning=frame == 6)
    features = own(backend, draw(6, 1, C))
    handed = set()
    for backwards, training in ((False, False), (False, True), (True, False), (True, True)):
        heard = Heard()
        bank.attend(heard, features, None, 5, 12, backwards=backwards, training=training)
        seen = bank.tokens(5, 12, backwards, training)
        np.testing.assert_array_equal(heard.given["memory"], seen.memory)
        assert heard.given["num_obj_ptr_tokens"] == seen.num_obj_ptr_tokens
        handed.add((seen.memory_frames, seen.pointer_frames))
    assert len(handed) == 4


# ---------------------------------------------------------------- SAM 3's settings and forgetting


@st.composite
def loops(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "use_memory_selection": draw(st.sampled_from([True, True, False])),
        "keep_first_cond_frame": draw(st.booleans()),
        "max_cond_frames_in_attn": draw(st.sampled_from([-1, 3, 4])),
        "memory_temporal_stride_for_eval": draw(st.sampled_from([1, 1, 2])),
        "max_obj_ptrs_in_encoder": draw(st.sampled_from([3, 5])),
    }


@settings(max_examples=8)
@given(loops(), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
def test_banks_agree_and_forgetting_changes_nothing(
    changes: dict[str, Any], backwards: bool, training: bool, seed: int
) -> None:
    """A loop over 14 frames in either direction; the accelerated bank forgets, the reference does not."""
    rng = np.random.default_rng(seed)
    full, lean = (bank_of(backend, with_settings(**changes)) for backend in BACKENDS)
    for turn in range(14):
        frame = 13 - turn if backwards else turn
        if turn:
            lean.forget(frame, training, backwards)
            expected = full.tokens(frame, 14, backwards, training)
            actual = lean.tokens(frame, 14, backwards, training)
            assert actual[2:] == expected[2:]
            np.testing.assert_array_equal(actual.memory.numpy(), expected.memory)
        memory, pointer, score = draw(1, K, 1, 2, seed=turn), draw(1, C, seed=turn), rng.choice([0.0, 0.3])
        conditioning = turn == 0 or rng.random() < 0.3
        full.add(frame, memory, pointer, conditioning, score=score)
        lean.add(frame, torch.from_numpy(memory), torch.from_numpy(pointer), conditioning, score=float(score))


@both
@pytest.mark.parametrize("score", [0.5, np.float32(0.5), np.array(0.5), torch.tensor(0.5), 1])
def test_scores_of_all_libraries(backend: str, score: Any) -> None:
    bank = bank_of(backend, with_settings(use_memory_selection=True, mf_threshold=0.4))
    for frame in range(6):
        # That of a prompted frame means nothing.
        given_score = score if frame == 2 else 0.9 if frame == 0 else 0.1
        bank.add(frame, own(backend, draw(1, K, 1, 2)), conditioning=frame == 0, score=given_score)
    assert list(bank.scores) == [1, 2, 3, 4, 5]
    # Frame 2 alone was good, and 5 is the newest.
    assert bank.tokens(6, 9).memory_frames == (0, 2, 5)
    bank.remove(2)
    assert 2 not in bank.scores
    assert bank.tokens(6, 9).memory_frames == (0, 5)
    bank.add(2, own(backend, draw(1, K, 1, 2)), score=0.39)
    assert bank.tokens(6, 9).memory_frames == (0, 5)
    bank.clear()
    assert bank.scores == {}


@both
@pytest.mark.parametrize(
    ("score", "kind", "message"),
    [
        (None, ValueError, "score is None, expected .* because use_memory_selection is set"),
        (float("nan"), ValueError, "score is nan, expected a finite number"),
        (float("-inf"), ValueError, "score is -inf, expected a finite number"),
        (True, TypeError, "score is bool, expected one real number"),
        ("0.5", TypeError, "score is str, expected one real number"),
        (np.array([0.5, 0.2]), TypeError, "score is ndarray, expected one real number"),
    ],
)
def test_scores_that_do_not_fit(backend: str, score: Any, kind: type[Exception], message: str) -> None:
    bank = bank_of(backend, with_settings(use_memory_selection=True))
    with pytest.raises(kind, match=message):
        bank.add(1, own(backend, draw(1, K, 1, 2)), score=score)
    assert (bank.memories, bank.scores) == ({}, {})


# ---------------------------------------------------------------- counts and arrays


@both
@pytest.mark.parametrize("count", [torch.tensor, np.int64, np.uint8, np.array], ids=lambda count: count.__name__)
def test_whole_numbers_of_all_libraries_count(
    monkeypatch: pytest.MonkeyPatch, backend: str, count: Callable[[int], Any]
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    bank = bank_of(backend)
    bank.add(count(3), own(backend, draw(1, K, 2, 3)), own(backend, draw(1, C)), conditioning=True)
    assert (bank.conditioning, list(bank.memories)) == ((3,), [3])
    assert all(type(number) is int for number in (*bank.memories, *bank.pointers, *bank.conditioning))
    seen = bank.tokens(count(5), count(9))
    assert seen[2:] == bank.tokens(5, 9)[2:]
    query, heard = own(backend, draw(6, 1, C)), Heard()
    bank.attend(heard, query, None, count(5), count(9), grid=(count(2), count(3)))
    assert heard.given["grid"] == (2, 3)
    told = attention_of(backend)(query, seen.memory, None, seen.memory_pos, count(seen.num_obj_ptr_tokens), (2, 3))
    counted = attention_of(backend)(query, seen.memory, None, seen.memory_pos, seen.num_obj_ptr_tokens, (2, 3))
    np.testing.assert_array_equal(told, counted)
    bank.forget(count(4))
    bank.remove(count(3))
    assert (bank.conditioning, bank.memories) == ((), {})


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_arrays_that_behave_otherwise_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    bank, memory, pointer = bank_of("reference"), draw(1, K, 2, 3), draw(1, C)
    with pytest.raises(TypeError, match="memory is MaskedArray, expected ndarray"):
        bank.add(0, np.ma.masked_array(memory, memory > 1))
    with pytest.raises(TypeError, match="pointer is matrix, expected ndarray"):
        bank.add(0, memory, np.asmatrix(pointer))
