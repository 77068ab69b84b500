"""The data in the explorer's page, without a browser: whose memories, rows, shares and outlines they are."""

import base64
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from memory_attention.looks import Look
from memory_attention.pictures import explorer
from memory_attention.pictures.explorer import explore
from memory_attention.pictures.outlines import outlines
from memory_attention.recording import Recording

RNG = np.random.default_rng(2)
GRID, TOKENS = (3, 5), 15
QUERIES = np.array([2, 7, 11])


def rows(heads, keys, peak=3.0):
    made = np.exp(peak * RNG.standard_normal((heads, len(QUERIES), keys))).astype(np.float32)
    return made / made.sum(axis=-1, keepdims=True)


def look(frame, name, memory_frames, pointer_frames):
    """Two heads, two layers; a pointer has two tokens."""
    keys = len(memory_frames) * TOKENS + 2 * len(pointer_frames)
    both = {("cross", layer): rows(2, keys) for layer in (0, 3)} | {("self", 0): rows(2, TOKENS)}
    pointers = 2 * len(pointer_frames)
    return Look(frame, name, GRID, QUERIES, both, pointers, memory_frames, pointer_frames, prompted=(0,))


@pytest.fixture
def recording():
    """Frame 5 saw its memories out of their order, as when tracking backwards; `b` is in one frame only."""
    looks = [look(3, "a", (0, 1), (2,)), look(5, "a", (4, 0), (1, 6)), look(5, "b", (4, 0), (1,))]
    made = Recording({"model": "Some"}, looks)
    frames, masks = RNG.random((7, 20, 40, 3)), RNG.random((7, 3, 20, 40)) < 0.6
    return made.add_images(frames, masks)


def data_of(recording, **how):
    page = explore(recording, **how).page
    # The data are the one line that is a JSON object.
    return json.JSONDecoder().raw_decode(page[page.index('{"title":') :])[0]


def floats(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_the_page_opens_on_the_last_layer_that_looks_at_memories(recording):
    assert data_of(recording)["layer"] == 3
    for look_ in recording.looks:
        spatial = len(look_.memory_frames) * TOKENS
        last = look_.rows["cross", 3]
        last[..., spatial:] += 20 * last.sum()
        last /= last.sum(axis=-1, keepdims=True)
    assert data_of(recording)["layer"] == recording.looks[-1].layer_on_memory == 0
    for look_ in recording.looks:
        look_.rows["cross", 0][:] = look_.rows["cross", 3]
    assert data_of(recording)["layer"] == 3


def test_memories_stay_in_the_order_of_their_tokens(recording):
    data = data_of(recording)
    looks = [frame["looks"][0] for frame in data["frames"]]
    assert [each["memories"] for each in looks] == [[0, 1], [4, 0]]
    assert [each["pointers"] for each in looks] == [[2], [1, 6]]
    assert [each["prompted"] for each in looks] == [[0], [0]]
    assert sorted(map(int, data["images"])) == [0, 1, 3, 4, 5]
    assert data["aspect"] == 2


def test_each_object_has_its_own_rows(recording):
    data = data_of(recording, frames=[5])
    for index, name in enumerate("ab"):
        packed, true = data["frames"][0]["looks"][index], recording.look(5, name)
        assert packed["queries"] == QUERIES.tolist()
        assert {
            (kind, int(layer)) for kind, layers in packed["rows"].items() for layer in layers
        } == true.rows.keys()
        for (kind, layer), heads in true.rows.items():
            found, row = packed["rows"][kind][str(layer)], heads.mean(axis=0)
            top = floats(found["top"])
            np.testing.assert_array_equal(top, row.max(axis=1))
            heat = np.frombuffer(zlib.decompress(base64.b64decode(found["heat"])), np.uint8).reshape(row.shape)
            assert np.abs(heat / 255 * top[:, None] - row).max() <= 0.5001 / 255 * top.max()
            frames, pointers = true.cut(row) if kind == "cross" else ([row], [])
            shares = np.stack([part.sum(axis=1) for part in (*frames, *pointers)], axis=1)
            np.testing.assert_array_equal(floats(found["shares"]).reshape(shares.shape), shares)


def test_an_object_that_did_not_look_has_nothing(recording):
    data = data_of(recording)
    assert [object["name"] for object in data["objects"]] == ["a", "b", "object 3"]
    assert data["frames"][0]["looks"][1] is None
    assert data["asked"] == 2


def test_every_object_is_outlined(recording):
    for number, picture in data_of(recording)["outlines"].items():
        decoded = Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2])))
        np.testing.assert_array_equal(np.asarray(decoded), outlines(recording.masks[int(number)]))


def test_a_frame_that_was_not_recorded_is_named(recording):
    with pytest.raises(ValueError, match="frame 4 was not recorded, expected one of 3, 5"):
        explore(recording, frames=[4])
    with pytest.raises(ValueError, match="frames has none, expected some of those that were recorded: none"):
        explore(Recording())


def test_a_page_of_sixteen_frames_is_small():
    """Full size, rows that are as hard to pack as any; the shares stay exact."""
    grid, memories, pointers = (64, 64), tuple(range(7)), tuple(range(7))
    size = len(memories) * 4096 + 4 * len(pointers)
    shared = RNG.random((1, 5, size), np.float32)
    shared /= shared.sum(axis=-1, keepdims=True)
    looks = [
        Look(
            number,
            "a",
            grid,
            np.arange(5),
            {("cross", layer): shared for layer in range(4)},
            28,
            memories,
            pointers,
        )
        for number in range(16)
    ]
    page = explore(Recording({}, looks)).page
    assert len(page) < 10_000_000
    data = data_of(Recording({}, looks))["frames"][9]["looks"][0]
    assert data["grid"] == [64, 64]
    assert data["drawn"] == [32, 32]
    packed = data["rows"]["cross"]["2"]
    shares = floats(packed["shares"]).reshape(5, 14)
    np.testing.assert_array_equal(shares[:, :7], shared[0, :, :-28].reshape(5, 7, 4096).sum(axis=-1))
    heat = np.frombuffer(zlib.decompress(base64.b64decode(packed["heat"])), np.uint8).reshape(5, -1)
    top = floats(packed["top"])
    cells = shared[0, :, : 7 * 4096].reshape(5, 7, 32, 2, 32, 2).mean(axis=(3, 5)).reshape(5, -1)
    assert np.abs(heat[:, : 7 * 1024] / 255 * top[:, None] - cells).max() <= 0.5001 / 255 * top.max()


def looks_of(grid, rows, frames=1):
    """Looks of two queries at one memory, frame after frame."""
    return [Look(number, "a", grid, np.arange(2), {("cross", 0): rows}, 0, (7,), ()) for number in range(frames)]


def test_coarser_heat_is_the_mean_of_its_cells_in_their_places(monkeypatch):
    grid = (4, 6)
    rows = RNG.random((1, 2, 24), np.float32)
    rows /= rows.sum(axis=-1, keepdims=True)
    fine = data_of(Recording({}, looks_of(grid, rows)))["frames"][0]["looks"][0]["rows"]["cross"]["0"]
    monkeypatch.setattr(explorer, "LARGEST_PAGE", sum(len(fine[name]) for name in ("heat", "top", "shares")) - 1)
    look = data_of(Recording({}, looks_of(grid, rows)))["frames"][0]["looks"][0]
    assert look["drawn"] == [2, 3]
    packed = look["rows"]["cross"]["0"]
    means = rows[0].reshape(2, 2, 2, 3, 2).mean(axis=(2, 4)).reshape(2, 6)
    heat = np.frombuffer(zlib.decompress(base64.b64decode(packed["heat"])), np.uint8).reshape(2, 6)
    top = floats(packed["top"])[:, None]
    np.testing.assert_allclose(heat / 255 * top, means, atol=0.501 / 255 * top.max())
    np.testing.assert_allclose(top[:, 0], means.max(axis=1), rtol=1e-6)


def test_the_users_pictures_count_and_too_many_frames_are_refused(monkeypatch):
    rows = np.full((1, 2, 24), 1 / 24, np.float32)
    recording = Recording({}, looks_of((4, 6), rows, frames=9))
    recording.add_images([RNG.random((40, 60, 3)) for _ in range(9)])
    page = explore(recording).page
    monkeypatch.setattr(explorer, "LARGEST_PAGE", 60_000)
    with pytest.raises(ValueError, match=r"frames are 9, .* on the coarsest grid, where 0\.0 MB are left"):
        explore(recording)
    assert len(explore(recording, frames=[3]).page) < len(page)
