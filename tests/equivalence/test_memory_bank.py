"""The memory bank: which frames a frame sees, and the tokens that both backends make of them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_attention import reference
from memory_attention.configs import (
    AttentionConfig,
    Config,
    LayerConfig,
    MemoryAttentionConfig,
    MemoryBankConfig,
    bank_parameter_shapes,
    load_config,
)
from memory_attention.rules.frame_choice import (
    memory_frames,
    pointer_frames,
    select_conditioning_frames,
    slot_frames,
)
from memory_attention.tolerances import BOUNDS

torch = pytest.importorskip("torch", reason="one of the two banks is PyTorch's")
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402

from memory_attention import accelerated  # noqa: E402

BACKENDS = ("reference", "accelerated")


def make_config(d_model: int = 8, memory_dim: int = 4, rotary: bool = True, **settings: Any) -> Config:
    own = AttentionConfig(embedding_dim=d_model)
    cross = AttentionConfig(embedding_dim=d_model, kv_in_dim=memory_dim, rope_k_repeat=True, rotary=rotary)
    layer = LayerConfig(d_model=d_model, dim_feedforward=8, self_attention=own, cross_attention=cross)
    return Config(
        memory_attention=MemoryAttentionConfig(d_model=d_model, layer=layer, num_layers=1),
        memory_bank=MemoryBankConfig(**settings),
    )


def draw_parameters(config: Config, dtype: str = "float64", seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in bank_parameter_shapes(config).items()}


class Bank:
    """Either backend's bank behind NumPy arrays, so that a test is written once."""

    def __init__(self, backend: str, config: Config, parameters: dict[str, np.ndarray] | None = None) -> None:
        self.backend = backend
        package = reference if backend == "reference" else accelerated
        parameters = draw_parameters(config) if parameters is None else parameters
        self.bank = package.MemoryBank(config, parameters)
        self.attention_class = package.MemoryAttention

    def own(self, array: Any) -> Any:
        """A NumPy array as this backend's own; anything else as it is."""
        if self.backend == "reference" or not isinstance(array, np.ndarray):
            return array
        return torch.from_numpy(array)

    def add(
        self, frame: Any, memory: Any, pointer: Any = None, conditioning: bool = False, absent: Any = None
    ) -> None:
        self.bank.add(frame, self.own(memory), self.own(pointer), conditioning, self.own(absent))

    def tokens(self, *args: Any, **kwargs: Any) -> Any:
        return self.numpy(self.bank.tokens(*args, **kwargs))

    def numpy(self, tokens: Any) -> Any:
        return tokens._replace(memory=to_numpy(tokens.memory), memory_pos=to_numpy(tokens.memory_pos))


def to_numpy(array: Any) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else array.detach().numpy()


def never(*args: Any, **kwargs: Any) -> Any:
    """An attention that is not to be called."""
    raise AssertionError("the attention was called")


@pytest.fixture(params=BACKENDS)
def make_bank(request: pytest.FixtureRequest) -> Callable[..., Bank]:
    return lambda *args: Bank(request.param, *args)


def memory_of(value: float, batch: int = 1, channels: int = 4, height: int = 2, width: int = 2) -> np.ndarray:
    return np.full((batch, channels, height, width), float(value))


def pointer_of(value: float, batch: int = 1, channels: int = 8) -> np.ndarray:
    return np.full((batch, channels), float(value))


# ---------------------------------------------------------------- worked by hand


@pytest.mark.parametrize(
    ("frame", "num_maskmem", "stride", "backwards", "expected"),
    [
        # r = 1: the six frames before, oldest first.
        (10, 7, 1, False, [(4, 1), (5, 2), (6, 3), (7, 4), (8, 5), (9, 6)]),
        # k = 1: 12; k = 2: ⌊11/5⌋·5 = 10; k = 3: 10 − 5.
        (13, 4, 5, False, [(5, 1), (10, 2), (12, 3)]),
        # f − 2 = 10 is itself a multiple of 5, and stays.
        (12, 3, 5, False, [(10, 1), (11, 2)]),
        # f − 2 = −1: the floor of −1/3 is −1, not 0.
        (1, 3, 3, False, [(-3, 1), (0, 2)]),
        # k = 1: 14; k = 2: ⌈15/5⌉·5 = 15; k = 3: 20.
        (13, 4, 5, True, [(20, 1), (15, 2), (14, 3)]),
        # ⌈(14 + 2)/5⌉·5 = 20.
        (14, 3, 5, True, [(20, 1), (15, 2)]),
        (10, 4, 1, True, [(13, 1), (12, 2), (11, 3)]),
        (10, 2, 4, False, [(9, 1)]),
        (10, 1, 1, False, []),
        (10, 0, 1, False, []),
    ],
)
def test_slots_worked_by_hand(
    frame: int, num_maskmem: int, stride: int, backwards: bool, expected: list[tuple[int, int]]
) -> None:
    assert slot_frames(frame, num_maskmem, stride, backwards) == expected


@pytest.mark.parametrize(
    ("frame", "conditioning", "limit", "expected"),
    [
        # No limit, and a limit that is just met: all, as they were added.
        (13, [30, 5, 12, 20, 11], -1, [30, 5, 12, 20, 11]),
        (13, [30, 5, 12, 20, 11], 5, [30, 5, 12, 20, 11]),
        # 12 is the nearest before, 20 the nearest after; of 30 (17 away), 5 (8) and 11 (2) the last.
        (13, [30, 5, 12, 20, 11], 3, [12, 20, 11]),
        (13, [30, 5, 12, 20, 11], 4, [12, 20, 11, 5]),
        # 20 is farther than 11, 10 and 9, and is taken all the same.
        (13, [9, 10, 11, 12, 20], 2, [12, 20]),
        # Nothing after f, and nothing before f.
        (13, [1, 2, 3], 2, [3, 2]),
        (0, [1, 2, 3], 2, [1, 2]),
        # f itself counts as after.
        (5, [4, 5, 6], 2, [4, 5]),
        # 16 and 10 are both 3 away: the one that was added first.
        (13, [16, 10, 12, 14], 3, [12, 14, 16]),
        (13, [10, 16, 12, 14], 3, [12, 14, 10]),
    ],
)
def test_conditioning_frames_worked_by_hand(
    frame: int, conditioning: list[int], limit: int, expected: list[int]
) -> None:
    assert select_conditioning_frames(frame, conditioning, limit) == expected


def test_memories_worked_by_hand() -> None:
    settings = MemoryBankConfig(num_maskmem=4, max_cond_frames_in_attn=2)
    stored = [0, 1, 3, 5, 6, 9]
    # f = 6 sees 5, 4, 3: 4 is missing; 5 is conditioning but not selected (it would be before), so with
    # 3 and 9 prompted: before is 3, after is 9, no other room.
    assert memory_frames(6, [9, 0, 3], stored, settings) == [(3, 0), (9, 0), (5, 3)]
    # f = 2, prompted 0, 1, 9: before is 1, after is 9; 0 is left over and fills its slot, k = 2, t = 2.
    assert memory_frames(2, [0, 1, 9], stored, settings) == [(1, 0), (9, 0), (0, 2)]


def test_pointers_worked_by_hand() -> None:
    # P = min(4, 20): f − 1, f − 2, f − 3. Of them 8 has no pointer. 2 is conditioning and far beyond P.
    settings = MemoryBankConfig(max_obj_ptrs_in_encoder=4, use_signed_tpos_enc_to_obj_ptrs=True)
    stored = [2, 5, 6, 7, 9, 12]
    assert pointer_frames(9, 20, [2], stored, settings) == [(2, 7), (7, 2), (6, 3)]
    # A conditioning frame to come is left out in evaluation; in training it is 12 − 9 in the future.
    assert pointer_frames(9, 20, [2, 12], stored, settings) == [(2, 7), (7, 2), (6, 3)]
    assert pointer_frames(9, 20, [2, 12], stored, settings, training=True) == [(2, 7), (12, -3), (7, 2), (6, 3)]
    unsigned = settings.model_copy(update={"use_signed_tpos_enc_to_obj_ptrs": False})
    assert pointer_frames(9, 20, [2, 12], stored, unsigned, training=True) == [(2, 7), (12, 3), (7, 2), (6, 3)]
    # Backwards the past is 12 and up, and 2 is in the future.
    assert pointer_frames(9, 20, [2, 12], stored, settings, backwards=True) == [(12, 3)]
    assert pointer_frames(9, 20, [2, 12], stored, settings, True, True) == [(2, -7), (12, 3)]
    # A video of three frames: P = 3.
    assert pointer_frames(2, 3, [0], [0, 1], settings) == [(0, 2), (1, 1)]
    # A video of one frame: P = 1, so no other frame, and no division by P − 1 = 0 later.
    assert pointer_frames(0, 1, [0], [0], settings) == [(0, 0)]
    off = settings.model_copy(update={"use_obj_ptrs_in_encoder": False})
    assert pointer_frames(9, 20, [2], stored, off) == []


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


# ---------------------------------------------------------------- an oracle, written another way


class Scenario(NamedTuple):
    """A bank's contents as (frame, prompted, has a pointer) in order of addition, and a question to it."""

    config: Config
    added: list[tuple[int, bool, bool]]
    frame: int
    num_frames: int
    backwards: bool
    training: bool

    @property
    def settings(self) -> MemoryBankConfig:
        return self.config.memory_bank

    @property
    def conditioning(self) -> list[int]:
        return [number for number, prompted, _ in self.added if prompted]

    @property
    def memories(self) -> list[int]:
        return [number for number, _, _ in self.added]

    @property
    def pointers(self) -> list[int]:
        return [number for number, _, has_pointer in self.added if has_pointer]

    def choose(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        direction = (self.backwards, self.training)
        return (
            memory_frames(self.frame, self.conditioning, self.memories, self.settings, *direction),
            pointer_frames(
                self.frame, self.num_frames, self.conditioning, self.pointers, self.settings, *direction
            ),
        )

    def fill(self, bank: Bank, seed: int, dtype: str = "float64", batch: int = 2) -> None:
        rng = np.random.default_rng(seed)
        d_model, memory_dim = self.config.memory_attention.d_model, self.config.memory_attention.memory_dim
        for number, prompted, has_pointer in self.added:
            memory = rng.normal(size=(batch, memory_dim, 2, 3)).astype(dtype)
            pointer = rng.normal(size=(batch, d_model)).astype(dtype)
            absent = rng.random(batch) < 0.3
            bank.add(number, memory, pointer if has_pointer else None, prompted, absent)


@st.composite
def settings_of_banks(draw: st.DrawFn) -> dict[str, Any]:
    flags = (
        "use_obj_ptrs_in_encoder",
        "only_obj_ptrs_in_the_past_for_eval",
        "add_tpos_enc_to_obj_ptrs",
        "proj_tpos_enc_in_obj_ptrs",
        "use_signed_tpos_enc_to_obj_ptrs",
        "no_obj_embed_spatial",
    )
    return {
        "num_maskmem": draw(st.integers(1, 8)),
        "max_cond_frames_in_attn": draw(st.sampled_from([-1, 2, 3, 4])),
        "memory_temporal_stride_for_eval": draw(st.integers(1, 5)),
        "max_obj_ptrs_in_encoder": draw(st.integers(1, 12)),
    } | {flag: draw(st.booleans()) for flag in flags}


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    num_frames = draw(st.integers(1, 30))
    numbers = draw(st.lists(st.integers(0, num_frames - 1), min_size=1, unique=True))
    prompted = draw(st.sets(st.sampled_from(numbers), min_size=1, max_size=8))
    pointing = draw(st.sets(st.sampled_from(numbers)))
    return Scenario(
        make_config(memory_dim=draw(st.sampled_from([4, 8])), **draw(settings_of_banks())),
        [(number, number in prompted, number in pointing) for number in numbers],
        draw(st.integers(0, num_frames - 1)),
        num_frames,
        draw(st.booleans()),
        draw(st.booleans()),
    )


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


@given(scenarios())
def test_choice_agrees_with_walking(case: Scenario) -> None:
    assert case.choose() == choose_by_walking(case)


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


@given(scenarios(), st.integers(0, 2**32 - 1))
def test_tokens_of_both_backends_agree_with_tokens_made_one_by_one(case: Scenario, seed: int) -> None:
    parameters = draw_parameters(case.config, seed=seed)
    memory, memory_pos, num_obj_ptr_tokens = tokens_one_by_one(case, parameters, seed)
    for backend in BACKENDS:
        bank = Bank(backend, case.config, parameters)
        case.fill(bank, seed)
        tokens = bank.tokens(case.frame, case.num_frames, case.backwards, case.training)
        np.testing.assert_allclose(tokens.memory, memory, rtol=0, atol=1e-12)
        np.testing.assert_allclose(tokens.memory_pos, memory_pos, rtol=0, atol=1e-12)
        assert tokens.num_obj_ptr_tokens == num_obj_ptr_tokens


@given(scenarios(), st.integers(0, 2**32 - 1), st.sampled_from(["float32", "float64"]))
def test_backends_agree(case: Scenario, seed: int, dtype: str) -> None:
    parameters = draw_parameters(case.config, dtype, seed)
    results = []
    for backend in BACKENDS:
        bank = Bank(backend, case.config, parameters)
        case.fill(bank, seed, dtype)
        results.append(bank.tokens(case.frame, case.num_frames, case.backwards, case.training))
    expected, actual = results
    assert expected[2:] == actual[2:]
    for name in ("memory", "memory_pos"):
        truth, result = getattr(expected, name), getattr(actual, name)
        assert truth.dtype == result.dtype == dtype
        np.testing.assert_allclose(result, truth, rtol=0, atol=BOUNDS[dtype] * np.abs(truth).max())


# ---------------------------------------------------------------- symmetry, streaming, order


@given(st.integers(0, 40), st.integers(0, 40), st.integers(3, 8), st.integers(1, 5))
def test_slots_backwards_are_the_mirror_image_exactly_when_the_stride_divides_the_mirror(
    frame: int, mirror: int, num_maskmem: int, stride: int
) -> None:
    """Every frame n → S − n: multiples of r stay multiples of r only if S is one. Needs a slot with k ≥ 2."""
    forwards = [(mirror - number, slot) for number, slot in slot_frames(frame, num_maskmem, stride)]
    backwards = slot_frames(mirror - frame, num_maskmem, stride, backwards=True)
    assert (forwards == backwards) == (mirror % stride == 0)


@given(scenarios())
def test_tracking_backwards_is_the_mirror_image(case: Scenario) -> None:
    """Exact if the stride divides the last frame's number, and the frame itself was not prompted.

    Before f and at or after f are not each other's mirror image at f itself; and "before" stays first
    in the order of tokens, so the conditioning frames are compared as sets.
    """
    stride = case.settings.memory_temporal_stride_for_eval
    num_frames = (case.num_frames // stride + 1) * stride + 1
    added = [entry for entry in case.added if entry[0] != case.frame]
    case = case._replace(num_frames=num_frames, added=added)
    last = num_frames - 1
    mirrored = case._replace(
        added=[(last - number, *rest) for number, *rest in added],
        frame=last - case.frame,
        backwards=not case.backwards,
    )
    for here, there in zip(case.choose(), mirrored.choose(), strict=True):
        assert sorted((last - number, place) for number, place in here) == sorted(there)


@given(scenarios(), st.integers(0, 2**32 - 1))
def test_forgetting_changes_nothing_for_the_frames_to_come(case: Scenario, seed: int) -> None:
    """Frames are added and tracked in order, in one backend with and in the other without forgetting."""
    full, lean = Bank("reference", case.config), Bank("accelerated", case.config)
    rng = np.random.default_rng(seed)
    contents = {number: rest for number, *rest in case.added}
    width = case.config.memory_attention.memory_dim
    for frame in range(case.num_frames):
        if full.bank.conditioning:
            lean.bank.forget(frame, case.training)
            expected = full.tokens(frame, case.num_frames, training=case.training)
            actual = lean.tokens(frame, case.num_frames, training=case.training)
            assert actual[2:] == expected[2:]
            np.testing.assert_array_equal(actual.memory, expected.memory)
        prompted, has_pointer = contents.get(frame, (False, True))
        memory, pointer = rng.normal(size=(1, width, 1, 1)), rng.normal(size=(1, 8))
        for bank in (full, lean):
            bank.add(frame, memory, pointer if has_pointer else None, prompted)


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


def test_a_bank_that_forgets_is_bounded(make_bank: Callable[..., Bank]) -> None:
    bank = make_bank(make_config(num_maskmem=7, max_cond_frames_in_attn=4, max_obj_ptrs_in_encoder=16))
    for frame in range(100):
        bank.bank.forget(frame)
        # 6 slots, 4 + 1 conditioning frames; 15 pointers, and the 5 again.
        assert len(bank.bank.memories) <= 11
        assert len(bank.bank.pointers) <= 20
        bank.add(frame, memory_of(0, height=1, width=1), pointer_of(0), conditioning=frame % 10 == 0)
    assert bank.bank.conditioning == (50, 60, 70, 80, 90)


@given(scenarios(), st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_objects_do_not_mix(case: Scenario, seed: int, random: Any) -> None:
    """Permuting the objects that are added permutes the tokens."""
    order = list(range(3))
    random.shuffle(order)
    rng = np.random.default_rng(seed)
    width = case.config.memory_attention.memory_dim
    for backend in BACKENDS:
        plain, permuted = Bank(backend, case.config), Bank(backend, case.config)
        for number, prompted, has_pointer in case.added:
            memory, pointer, absent = (
                rng.normal(size=(3, width, 1, 2)),
                rng.normal(size=(3, 8)),
                rng.random(3) < 0.5,
            )
            plain.add(number, memory, pointer if has_pointer else None, prompted, absent)
            permuted.add(number, memory[order], pointer[order] if has_pointer else None, prompted, absent[order])
        arguments = (case.frame, case.num_frames, case.backwards, case.training)
        expected, actual = plain.tokens(*arguments), permuted.tokens(*arguments)
        np.testing.assert_array_equal(actual.memory, expected.memory[:, order])
        np.testing.assert_array_equal(actual.memory_pos, expected.memory_pos)


# ---------------------------------------------------------------- settings


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


def test_a_stream_needs_no_length(make_bank: Callable[..., Bank]) -> None:
    bank = make_bank(make_config(max_obj_ptrs_in_encoder=4))
    for frame in range(6):
        bank.add(frame, memory_of(frame), pointer_of(frame), conditioning=frame == 0)
    endless, long = bank.tokens(6, None), bank.tokens(6, 1000)
    assert endless.pointer_frames == long.pointer_frames == (0, 5, 4, 3)
    np.testing.assert_array_equal(endless.memory_pos, long.memory_pos)


def test_remove_and_clear(make_bank: Callable[..., Bank]) -> None:
    bank = make_bank(make_config())
    bank.add(0, memory_of(0), pointer_of(0), conditioning=True)
    bank.add(1, memory_of(1), pointer_of(1))
    bank.bank.remove(1)
    bank.add(1, memory_of(2), pointer_of(2), conditioning=True)
    assert bank.tokens(2, 3).memory_frames == (0, 1)
    assert bank.tokens(2, 3).memory[4:8].tolist() == [[[2.0] * 4]] * 4
    bank.bank.clear()
    bank.add(0, memory_of(0, height=1), conditioning=True)
    assert bank.tokens(1, 3).memory_frames == (0,)


def test_wide_pointers_widen_the_tokens(make_bank: Callable[..., Bank]) -> None:
    """A memory stored in half precision and a pointer in single, as in SAM 2: nothing is lost."""
    bank = make_bank(make_config())
    bank.add(0, memory_of(1).astype(np.float16), (pointer_of(1) / 3).astype(np.float32), conditioning=True)
    tokens = bank.tokens(1, 2)
    assert tokens.memory.dtype == tokens.memory_pos.dtype == np.float32
    assert tokens.memory[-1, 0, 0] == np.float32(1 / 3)


# ---------------------------------------------------------------- training


def test_gradients_reach_every_parameter_and_the_outputs_of_past_frames() -> None:
    config = make_config(no_obj_embed_spatial=True, proj_tpos_enc_in_obj_ptrs=True, num_maskmem=3)
    bank = accelerated.MemoryBank(config, draw_parameters(config))
    memory = torch.ones(1, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    pointer = torch.ones(1, 8, dtype=torch.float64, requires_grad=True)
    bank.add(0, memory, pointer, conditioning=True, absent=torch.tensor([True]))
    bank.add(1, memory * 2, pointer * 2)
    tokens = bank.tokens(2, 4, training=True)
    features = bank.first_frame(torch.zeros(4, 1, 8, dtype=torch.float64))
    (tokens.memory.sum() + tokens.memory_pos.sum() + features.sum()).backward()
    # Slot 0 and the frame before are seen, the one in between is not; each by 4 tokens.
    assert bank.maskmem_tpos_enc.grad[:, 0, 0, 0].tolist() == [4, 0, 4]
    assert bank.no_obj_embed_spatial.grad.tolist() == [[4.0] * 4]
    assert bank.no_mem_embed.grad.tolist() == [[[4.0] * 8]]
    # Two pointers of two tokens each.
    assert bank.obj_ptr_tpos_proj.bias.grad.tolist() == [4.0] * 4
    assert (memory.grad == 3).all()
    assert (pointer.grad == 3).all()


@given(settings_of_banks())
def test_parameters_have_the_names_of_sam_2(settings: dict[str, Any]) -> None:
    config = make_config(**settings)
    parameters = draw_parameters(config)
    state = accelerated.MemoryBank(config, parameters).state_dict()
    named = dict(reference.MemoryBank(config, parameters).named_parameters())
    assert set(state) == set(named) == set(parameters)
    for name, value in parameters.items():
        np.testing.assert_array_equal(state[name].numpy(), value)
        np.testing.assert_array_equal(named[name], value)


def test_stored_frames_are_no_parameters() -> None:
    """A bank that has seen frames is saved like one that has not, and does not train on the caller's arrays."""
    config = make_config()
    parameters = draw_parameters(config)
    bank = accelerated.MemoryBank(config, parameters)
    bank.add(0, torch.zeros(1, 4, 2, 2), conditioning=True)
    assert set(bank.state_dict()) == set(parameters)
    with torch.no_grad():
        bank.maskmem_tpos_enc.zero_()
    assert parameters["maskmem_tpos_enc"].all()


# ---------------------------------------------------------------- bad input


@pytest.fixture
def unchecked_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite may check annotated shapes at every call; here the bank's own errors are wanted."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.parametrize("name", ["maskmem_tpos_enc", "no_obj_embed_spatial", "obj_ptr_tpos_proj.bias"])
def test_parameters_that_are_missing_or_misshapen_are_named(make_bank: Callable[..., Bank], name: str) -> None:
    config = make_config(no_obj_embed_spatial=True, proj_tpos_enc_in_obj_ptrs=True)
    parameters = draw_parameters(config)
    with pytest.raises(ValueError, match=rf"{name} has shape .*, expected \("):
        make_bank(config, parameters | {name: np.zeros(3)})
    del parameters[name]
    with pytest.raises(ValueError, match=f"missing parameter {name}"):
        make_bank(config, parameters)


def test_parameters_of_a_whole_model_are_passed_over(make_bank: Callable[..., Bank]) -> None:
    config = make_config()
    bank = make_bank(config, draw_parameters(config) | {"memory_attention.norm.weight": np.ones(8)})
    assert not hasattr(bank.bank, "norm")


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"frame": -1}, ValueError, "frame is -1, expected 0 or more"),
        ({"frame": 1.0}, TypeError, "frame is 1.0, expected a whole number"),
        ({"frame": True}, TypeError, "frame is True, expected a whole number"),
        ({"frame": 0}, ValueError, "frame 0 is in the bank already"),
        ({"memory": None}, TypeError, "memory is NoneType, expected"),
        ({"memory": [[1.0]]}, TypeError, "memory is list, expected"),
        ({"memory": np.zeros((2, 4, 2))}, ValueError, r"memory has shape \(2, 4, 2\), expected rank 4"),
        ({"memory": np.zeros((2, 5, 2, 2))}, ValueError, "memory has 5 channels, expected 4"),
        ({"memory": np.zeros((2, 4, 2, 3))}, ValueError, r"expected that of the earlier frames, \(2, 4, 2, 2\)"),
        ({"memory": np.zeros((1, 4, 2, 2))}, ValueError, r"expected that of the earlier frames, \(2, 4, 2, 2\)"),
        ({"memory": np.zeros((0, 4, 2, 2))}, ValueError, "memory is empty"),
        ({"memory": np.zeros((2, 4, 2, 2), int)}, TypeError, "memory has dtype .*int64, expected a floating"),
        (
            {"memory": np.zeros((2, 4, 2, 2), "f2")},
            TypeError,
            "memory has dtype .*16, expected that of the earlier",
        ),
        ({"pointer": np.zeros((2, 1, 8))}, ValueError, "pointer has shape .* expected rank 2"),
        ({"pointer": np.zeros((2, 4))}, ValueError, "pointer has 4 channels, expected 8"),
        ({"pointer": np.zeros((1, 8))}, ValueError, "pointer has batch 1, expected the batch of memory, 2"),
        ({"absent": np.zeros(2)}, TypeError, "absent has dtype .*float64, expected bool"),
        ({"absent": np.zeros(3, bool)}, ValueError, "absent has batch 3, expected the batch of memory, 2"),
        ({"absent": np.zeros((2, 1), bool)}, ValueError, r"absent has shape \(2, 1\), expected rank 1"),
        ({"absent": [True, False]}, TypeError, "absent is list"),
    ],
)
def test_outputs_that_do_not_fit(
    make_bank: Callable[..., Bank], arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    bank = make_bank(make_config())
    bank.add(0, memory_of(0, batch=2), conditioning=True)
    given_arguments = {"frame": 1, "memory": memory_of(0, batch=2), "pointer": pointer_of(0, batch=2)} | arguments
    with pytest.raises(kind, match=message):
        bank.add(**given_arguments)
    # What was refused has left no trace.
    assert list(bank.bank.memories) == [0]
    assert not bank.bank.pointers


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("frame", "num_frames", "kind", "message"),
    [
        (-1, 10, ValueError, "frame is -1, expected 0 or more"),
        (10, 10, ValueError, "frame is 10, expected one below num_frames, 10"),
        (0, 0, ValueError, "num_frames is 0, expected 1 or more"),
        (0, 2.5, TypeError, "num_frames is 2.5, expected a whole number"),
        ("0", 10, TypeError, "frame is '0', expected a whole number"),
    ],
)
def test_frames_that_are_none(
    make_bank: Callable[..., Bank], frame: Any, num_frames: Any, kind: type[Exception], message: str
) -> None:
    bank = make_bank(make_config())
    bank.add(0, memory_of(0), conditioning=True)
    with pytest.raises(kind, match=message):
        bank.bank.tokens(frame, num_frames)


def test_a_bank_without_a_prompt_has_no_tokens(make_bank: Callable[..., Bank]) -> None:
    bank = make_bank(make_config())
    bank.add(0, memory_of(0))
    with pytest.raises(ValueError, match="no conditioning frame, expected at least one to track frame 1"):
        bank.bank.tokens(1, 10)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("features", "kind", "message"),
    [
        (np.zeros((4, 8)), ValueError, r"features has shape \(4, 8\), expected rank 3"),
        (np.zeros((4, 1, 7)), ValueError, "features has 7 channels, expected 8"),
        (np.zeros((4, 1, 8), int), TypeError, "features has dtype"),
        ([1.0], TypeError, "features is list"),
    ],
)
def test_features_that_do_not_fit(
    make_bank: Callable[..., Bank], features: Any, kind: type[Exception], message: str
) -> None:
    bank = make_bank(make_config())
    with pytest.raises(kind, match=message):
        bank.bank.first_frame(bank.own(features))
    with pytest.raises(kind, match=message):
        bank.bank.attend(never, bank.own(features), None, 1, 10)


def changed_in_place(bank: Any) -> None:
    bank.maskmem_tpos_enc.data.mul_(2)


def swapped(bank: Any) -> None:
    bank.maskmem_tpos_enc = torch.nn.Parameter(bank.maskmem_tpos_enc.detach() + 1)


@pytest.mark.parametrize("change", [changed_in_place, swapped, lambda bank: bank.float(), lambda bank: None])
def test_what_is_kept_from_frame_to_frame_follows_the_parameters(change: Callable[[Any], None]) -> None:
    bank = accelerated.MemoryBank(make_config(), draw_parameters(make_config()))
    with torch.no_grad():
        for height, width in ((2, 2), (3, 1)):
            bank.clear()
            bank.add(0, torch.zeros(1, 4, height, width, dtype=torch.float64), conditioning=True)
            bank.add(2, torch.zeros(1, 4, height, width, dtype=torch.float64))
            bank.tokens(3, None)
            change(bank)
            own = reference.MemoryBank(
                make_config(), {name: value.detach().numpy() for name, value in bank.named_parameters()}
            )
            own.add(0, np.zeros((1, 4, height, width)), conditioning=True)
            own.add(2, np.zeros((1, 4, height, width)))
            expected = torch.from_numpy(own.tokens(3, None).memory_pos)
            torch.testing.assert_close(bank.tokens(3, None).memory_pos, expected, rtol=0, atol=1e-12)


def test_the_place_in_the_image_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    position = accelerated.memory_bank.kept_sine_encoding_2d
    position.cache_clear()
    bank = accelerated.MemoryBank(make_config(), draw_parameters(make_config()))
    for frame in range(3):
        bank.add(frame, torch.zeros(1, 4, 2, 5, dtype=torch.float64), conditioning=frame == 0)
        bank.tokens(frame + 1, None)
    assert position.cache_info().misses == 1


def test_what_inference_kept_does_not_stand_in_the_way_of_training() -> None:
    accelerated.memory_bank.kept_sine_encoding_2d.cache_clear()
    bank = accelerated.MemoryBank(make_config(), draw_parameters(make_config()))
    with torch.inference_mode():
        bank.add(0, torch.zeros(1, 4, 2, 2, dtype=torch.float64), conditioning=True)
        bank.tokens(1, None)
    bank.clear()
    bank.add(0, torch.zeros(1, 4, 2, 2, dtype=torch.float64), conditioning=True)
    bank.tokens(1, None).memory_pos.sum().backward()
    assert bank.maskmem_tpos_enc.grad.abs().sum() > 0
    with torch.no_grad():
        assert not bank.tokens(1, None).memory_pos.requires_grad


def test_stand_ins_for_tensors_are_not_kept() -> None:
    accelerated.memory_bank.kept_sine_encoding_2d.cache_clear()
    with FakeTensorMode():
        bank = accelerated.MemoryBank(make_config(), draw_parameters(make_config(), "float32"))
        bank.add(0, torch.zeros(1, 4, 2, 2), conditioning=True)
        bank.tokens(1, None)
    assert accelerated.memory_bank.kept_sine_encoding_2d.cache_info().currsize == 0


def test_a_compiler_takes_the_tokens() -> None:
    bank = accelerated.MemoryBank(make_config(), draw_parameters(make_config(), "float32"))
    bank.add(0, torch.zeros(1, 4, 2, 2), torch.zeros(1, 8), conditioning=True)
    torch._dynamo.reset()
    with torch.no_grad():
        compiled = torch.compile(bank.tokens, backend="eager")(1, None)
        torch.testing.assert_close(compiled.memory_pos, bank.tokens(1, None).memory_pos)


def test_tokens_lie_batch_first_as_the_attention_takes_them() -> None:
    """So that nothing is copied once more for several objects."""
    bank = accelerated.MemoryBank(make_config(), draw_parameters(make_config(), "float32"))
    with torch.no_grad():
        bank.add(0, torch.zeros(3, 4, 2, 2), torch.zeros(3, 8), conditioning=True)
        assert bank.tokens(1, None).memory.transpose(0, 1).is_contiguous()
