"""The data in the explorer's page, without a browser: whose memories, queries and outlines they are."""

import base64
import io
import json
from types import SimpleNamespace

import numpy as np
from PIL import Image

import memory_attention as ma
from memory_attention.inputs import draw_inputs
from memory_attention.pictures.explorer import explore
from memory_attention.pictures.outlines import outlines

MODEL = ma.load("tiny")
RNG = np.random.default_rng(2)
FRAMES, MASKS = RNG.random((6, 20, 20, 3)), RNG.random((6, 3, 20, 20)) < 0.6


def data_of(chosen):
    """The page's data where frame 5 saw its memories out of their order, as when tracking backwards."""
    seen = {number: draw_inputs(MODEL.config, seed=number, memories=2, pointers=1, objects=3) for number in (3, 5)}
    looks = {
        3: SimpleNamespace(frame=3, seen=seen[3], memory_frames=(0, 1), pointer_frames=(2,)),
        5: SimpleNamespace(frame=5, seen=seen[5], memory_frames=(4, 0), pointer_frames=(1,)),
    }
    page = explore(MODEL, FRAMES, MASKS, looks, chosen, "title").page
    # The data are the one line that is a JSON object.
    start = page.index('{"title":')
    return json.JSONDecoder().raw_decode(page[start:])[0], seen


def test_memories_stay_in_the_order_of_their_tokens():
    data, _ = data_of([3, 5])
    assert [frame["memories"] for frame in data["frames"]] == [[0, 1], [4, 0]]
    assert [frame["pointers"] for frame in data["frames"]] == [[2], [1]]
    assert sorted(map(int, data["images"])) == [0, 1, 3, 4, 5]


def test_each_object_has_its_own_queries_and_keys():
    data, seen = data_of([5])
    traced = MODEL.trace(*seen[5])
    for kind, part in (("self", "self_attn"), ("cross", "cross_attn_image")):
        for index, given in enumerate(data["frames"][0][kind][0]):
            for name, step in (("query", "q_rotated"), ("key", "k_rotated")):
                numbers = np.frombuffer(base64.b64decode(given[name]), "<f4")
                np.testing.assert_array_equal(numbers, traced[f"layers.0.{part}.{step}"][index].ravel())


def test_every_object_is_outlined():
    data, _ = data_of([3, 5])
    for number, picture in data["outlines"].items():
        decoded = Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2])))
        np.testing.assert_array_equal(np.asarray(decoded), outlines(MASKS[int(number)]))
