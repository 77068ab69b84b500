"""The tokens of both memory banks, worked by hand, under every setting."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from banks import Bank, draw_parameters, make_config, memory_of, never, pointer_of, to_numpy
from memory_attention.configs import load_config


def test_spatial_tokens_worked_by_hand(make_bank: Callable[..., Bank]) -> None:
    """One memory of 1 × 2 places and 4 channels, seen at slot 0, and one seen as the frame before."""
    config = make_config(num_maskmem=3, use_obj_ptrs_in_encoder=False)
    parameters = draw_parameters(config)
    parameters["maskmem_tpos_enc"] = np.array([10.0, 20.0, 30.0]).reshape(3, 1, 1, 1) * np.ones(4)
    bank = make_bank(config, parameters)
    bank.add(0, np.arange(8.0).reshape(1, 4, 1, 2), conditioning=True)
    bank.add(4, 100 + np.arange(8.0).reshape(1, 4, 1, 2))
    tokens = bank.tokens(5, 10)
    # Channel c of place x is 2c + x, so place 0 has 0, 2, 4, 6.
    assert tokens.memory[:, 0].tolist() == [[0, 2, 4, 6], [1, 3, 5, 7], [100, 102, 104, 106], [101, 103, 105, 107]]
    # y: row 1 of 1 is at 2π (but for 1e-6): sine 0, cosine 1. x: columns 1 and 2 of 2 are at π and 2π.
    place = np.array([[0, 1, 0, -1], [0, 1, 0, 1]])
    # Slot 0 takes the last entry, 30; the frame before, k = 1, t = 2, takes entry 3 − 2 − 1 = 0.
    np.testing.assert_allclose(tokens.memory_pos[:2, 0], place + 30, atol=1e-5)
    np.testing.assert_allclose(tokens.memory_pos[2:, 0], place + 10, atol=1e-5)
    assert tokens.memory_frames == (0, 4)
    assert tokens.num_obj_ptr_tokens == 0


def test_pointer_tokens_worked_by_hand(make_bank: Callable[..., Bank]) -> None:
    """Pointers of 8 channels become 2 tokens of 4, in channel order, both at the pointer's place in time."""
    config = make_config(max_obj_ptrs_in_encoder=5)
    bank = make_bank(config)
    bank.add(1, memory_of(0), np.arange(8.0)[None], conditioning=True)
    bank.add(2, memory_of(0), 10 + np.arange(8.0)[None])
    tokens = bank.tokens(3, 100)
    assert tokens.num_obj_ptr_tokens == 4
    assert tokens.pointer_frames == (1, 2)
    assert tokens.memory[-4:, 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [10, 11, 12, 13], [14, 15, 16, 17]]
    # Distances 2 and 1 over P − 1 = 4; width C_m = 4, so two frequencies, both 1 (⌊0/2⌋ = ⌊1/2⌋ = 0).
    for rows, time in ((tokens.memory_pos[-4:-2, 0], 0.5), (tokens.memory_pos[-2:, 0], 0.25)):
        sine, cosine = math.sin(time), math.cos(time)
        np.testing.assert_allclose(rows, [[sine, sine, cosine, cosine]] * 2, atol=1e-12)


def test_pointers_of_one_frame_do_not_divide_by_zero(make_bank: Callable[..., Bank]) -> None:
    bank = make_bank(make_config())
    bank.add(0, memory_of(0), pointer_of(1), conditioning=True)
    tokens = bank.tokens(0, 1)
    # Distance 0 over max(1, 0): sine 0, cosine 1.
    np.testing.assert_array_equal(tokens.memory_pos[-2:, 0], [[0, 0, 1, 1]] * 2)


def test_times_of_pointers_span_a_short_video(make_bank: Callable[..., Bank]) -> None:
    """Three frames and room for 16 pointers: P = 3, so distances 2 and 1 are at times 1 and 1/2."""
    bank = make_bank(make_config())
    for frame in range(2):
        bank.add(frame, memory_of(0), pointer_of(1), conditioning=frame == 0)
    sines = bank.tokens(2, 3).memory_pos[-4::2, 0, 0]
    np.testing.assert_allclose(sines, [math.sin(1), math.sin(1 / 2)], atol=1e-12)


@pytest.mark.parametrize(("name", "timed"), [("sam2_hiera_t", False), ("sam2.1_hiera_t", True)])
def test_settings_of_the_two_releases(make_bank: Callable[..., Bank], name: str, timed: bool) -> None:
    """One prompted and 20 tracked frames: 7 memories and 16 pointers, which SAM 2.0 leaves without a time."""
    config = load_config(name)
    parameters = draw_parameters(config, "float32")
    bank = make_bank(config, parameters)
    for frame in range(20):
        memory = memory_of(frame, channels=64).astype(np.float32)
        bank.add(frame, memory, pointer_of(frame, channels=256).astype(np.float32), conditioning=frame == 0)
    tokens = bank.tokens(20, 100)
    assert tokens.memory_frames == (0, 14, 15, 16, 17, 18, 19)
    assert tokens.pointer_frames == (0, *range(19, 4, -1))
    assert tokens.num_obj_ptr_tokens == 16 * 4
    assert tokens.memory.shape == tokens.memory_pos.shape == (7 * 4 + 64, 1, 64)
    assert tokens.memory.dtype == np.float32
    pointer_pos = tokens.memory_pos[-64:, 0]
    assert pointer_pos.any() == timed
    # The tokens of one pointer are at one place.
    assert (pointer_pos.reshape(16, 4, 64) == pointer_pos.reshape(16, 4, 64)[:, :1]).all()
    if timed:
        weight, bias = parameters["obj_ptr_tpos_proj.weight"], parameters["obj_ptr_tpos_proj.bias"]
        angles = 20 / 15 / 10000 ** (2 * (np.arange(128) // 2) / 128)
        encoding = np.concatenate([np.sin(angles), np.cos(angles)])
        np.testing.assert_allclose(pointer_pos[0], weight @ encoding + bias, atol=1e-4)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_slot_of_every_age(make_bank: Callable[..., Bank], number: int) -> None:
    """The frame k before has the time of entry k − 1; a prompted one has the last entry at any age."""
    config = make_config(num_maskmem=6, use_obj_ptrs_in_encoder=False)
    parameters = draw_parameters(config)
    bank = make_bank(config, parameters)
    bank.add(0, memory_of(0), conditioning=True)
    bank.add(number, memory_of(1))
    tokens = bank.tokens(6, 10)
    entries = parameters["maskmem_tpos_enc"][:, 0, 0]
    expected = entries[6 - number - 1] - entries[-1]
    np.testing.assert_allclose((tokens.memory_pos[4:] - tokens.memory_pos[:4])[:, 0], [expected] * 4, atol=1e-12)


def test_absent_objects_are_marked_as_they_are_stored(make_bank: Callable[..., Bank]) -> None:
    config = make_config(no_obj_embed_spatial=True, use_obj_ptrs_in_encoder=False)
    parameters = draw_parameters(config)
    bank = make_bank(config, parameters)
    given_memory = memory_of(1, batch=2)
    bank.add(0, given_memory, conditioning=True, absent=np.array([False, True]))
    memory = bank.tokens(1, 2).memory
    np.testing.assert_array_equal(memory[:, 0], np.ones((4, 4)))
    np.testing.assert_array_equal(memory[:, 1], np.tile(1 + parameters["no_obj_embed_spatial"], (4, 1)))
    assert (given_memory == 1).all()


def test_absence_means_nothing_without_the_setting(make_bank: Callable[..., Bank]) -> None:
    bank = make_bank(make_config(use_obj_ptrs_in_encoder=False))
    bank.add(0, memory_of(1), conditioning=True, absent=np.array([True]))
    np.testing.assert_array_equal(bank.tokens(1, 2).memory, np.ones((4, 1, 4)))


def test_first_prompted_frame_remembers_nothing(make_bank: Callable[..., Bank]) -> None:
    config = make_config()
    parameters = draw_parameters(config)
    bank = make_bank(config, parameters)
    features = np.arange(4 * 2 * 8.0).reshape(4, 2, 8)
    result = bank.bank.first_frame(bank.own(features))
    np.testing.assert_allclose(to_numpy(result), features + parameters["no_mem_embed"], rtol=1e-15)
    skipped = bank.bank.attend(never, bank.own(features), None, 0, 10, first_prompted=True)
    np.testing.assert_array_equal(to_numpy(skipped), to_numpy(result))


def test_without_direct_adding_the_first_frame_sees_one_token(make_bank: Callable[..., Bank]) -> None:
    config = make_config(memory_dim=8, directly_add_no_mem_embed=False)
    parameters = draw_parameters(config)
    bank = make_bank(config, parameters)
    features = bank.own(np.zeros((4, 2, 8)))
    tokens = bank.numpy(bank.bank.first_frame_tokens(features))
    np.testing.assert_array_equal(tokens.memory, parameters["no_mem_embed"].repeat(2, axis=1))
    np.testing.assert_array_equal(tokens.memory_pos, parameters["no_mem_pos_enc"].repeat(2, axis=1))
    with pytest.raises(ValueError, match="directly_add_no_mem_embed is off"):
        bank.bank.first_frame(features)
    narrow = make_bank(make_config(directly_add_no_mem_embed=False))
    with pytest.raises(ValueError, match="kv_in_dim is 4, expected d_model, 8"):
        narrow.bank.attend(never, features, None, 0, 10, first_prompted=True)


def test_no_maskmem_passes_features_unchanged(make_bank: Callable[..., Bank]) -> None:
    bank = make_bank(make_config(num_maskmem=0))
    features = bank.own(np.ones((4, 2, 8)))
    assert bank.bank.first_frame(features) is features
    assert bank.bank.attend(never, features, None, 3, 10) is features
    with pytest.raises(ValueError, match="num_maskmem is 0"):
        bank.bank.tokens(3, 10)


@pytest.mark.parametrize("rotary", [True, False])
@pytest.mark.parametrize("first_prompted", [True, False])
def test_attend_hands_the_tokens_to_the_attention(
    make_bank: Callable[..., Bank], rotary: bool, first_prompted: bool
) -> None:
    """The network's own answer to the bank's tokens, on a grid that is no square."""
    config = make_config(memory_dim=8, rotary=rotary, directly_add_no_mem_embed=False)
    bank = make_bank(config)
    attention = bank.attention_class.from_config(config.memory_attention)
    if bank.backend == "accelerated":
        attention = attention.double().eval()
    rng = np.random.default_rng(0)
    features, features_pos = (bank.own(rng.normal(size=(6, 2, 8))) for _ in range(2))
    memory, pointer = rng.normal(size=(2, 8, 2, 3)), rng.normal(size=(2, 8))
    bank.add(0, memory, pointer, conditioning=True)
    result = bank.bank.attend(attention, features, features_pos, 1, 10, first_prompted, grid=(2, 3))
    seen = bank.bank.first_frame_tokens(features) if first_prompted else bank.bank.tokens(1, 10)
    expected = attention(features, seen.memory, features_pos, seen.memory_pos, seen.num_obj_ptr_tokens, (2, 3))
    np.testing.assert_array_equal(to_numpy(result), to_numpy(expected))
    assert len(seen.memory) == (1 if first_prompted else 7)
