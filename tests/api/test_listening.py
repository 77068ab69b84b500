"""`record` on our own models, in every backend: the rows of `attention_map`, and a model that is as it was."""

import numpy as np
import pytest

import memory_attention as ma
from memory_attention.inputs import draw_inputs
from memory_attention.recording import fingerprint_of
from memory_attention.tolerances import bound

CONFIG = ma.load_config("sam2.1_hiera_t")
TINY = ma.load_config("tiny")
GRID = (3, 5)
GIVEN = [draw_inputs(TINY, seed, memories=2 + seed, pointers=3, objects=2, grid=GRID) for seed in range(2)]


@pytest.fixture(params=["reference", "accelerated"])
def backend_name(request):
    return request.param


def test_rows_are_those_of_the_attention_map(backend_name, dtype):
    model = ma.load(TINY, backend_name, device="cpu", dtype=dtype)
    with ma.record(model, [7, 2, 11]) as recording:
        results = [model(*given) for given in GIVEN]
    assert recording.frames == (0, 1)
    assert recording.made_by == {"model": repr(model), "fingerprint": fingerprint_of(model)}
    for frame, (given, result) in enumerate(zip(GIVEN, results, strict=True)):
        truth = model.attention_map(*given, layer=0, queries=[7, 2, 11])
        found = recording.pattern[0, frame]
        assert found.shape == truth.shape == (2, 2, 3, (2 + frame) * 15 + 6)
        assert np.abs(found - truth).max() <= max(bound(dtype), bound("float32")) * truth.max()
        assert recording.look(frame, "2").num_obj_ptr_tokens == 6
        # The reference shows its steps on another way, which rounds otherwise; hooks change nothing.
        error = np.abs(model(*given) - result).max()
        assert error <= (bound(dtype) * np.abs(result).max() if backend_name == "reference" else 0)
    assert recording.looks[0].memory_frames is None


def test_nothing_is_left_behind(backend_name):
    model = ma.load(TINY, backend_name, device="cpu")
    before, seen = dict(vars(model)), []
    with pytest.raises(ZeroDivisionError), ma.record(model, 3) as recording:  # noqa: PT012
        model(*GIVEN[0])
        seen.append(len(recording.looks))
        raise ZeroDivisionError
    assert dict(vars(model)) == before
    model(*GIVEN[1])
    assert seen == [2]
    assert recording.frames == (0,)
    if backend_name == "accelerated":
        for part in model.network.module.modules():
            assert not part._forward_hooks
            assert not part._forward_pre_hooks


def test_a_trace_is_still_a_trace(backend_name):
    model = ma.load(TINY, backend_name, device="cpu")
    truth = model.trace(*GIVEN[0])
    with ma.record(model, [1]) as recording:
        steps = model.trace(*GIVEN[0])
    assert list(steps) == list(truth)
    assert all(np.array_equal(steps[name], truth[name]) for name in truth)
    assert recording.frames == (0,)


def test_chosen_layers_and_frames_and_a_mask():
    model = ma.load(CONFIG)
    given = draw_inputs(CONFIG, memories=1, pointers=1, grid=(2, 3))
    mask = np.zeros((20, 30), bool)
    mask[10:, :20] = True
    with ma.record(model, mask, layers=[-1, 1], frames=[1]) as recording:
        for _ in range(3):
            model(*given)
    assert recording.frames == (1,)
    assert recording.layers == (1, 3)
    truth = model.attention_map(*given, layer=3, queries=[3, 4])
    np.testing.assert_allclose(recording.pattern[3, 1], truth, rtol=1e-6)


def test_what_does_not_fit(backend_name):
    model = ma.load(TINY, backend_name, device="cpu")
    with pytest.raises(ValueError, match=r"has token 15, expected 0 to 14 on \(3, 5\)"), ma.record(model, 15):
        model(*GIVEN[0])
    with pytest.raises(ValueError, match="this model does not say what it found"), ma.record(model, "found"):
        model(*GIVEN[0])
    with pytest.raises(TypeError, match="queries is NoneType"), ma.record(model, None):
        pass
    with pytest.raises(TypeError, match="model is str, expected"), ma.record("tiny", 1):
        pass
    model(*GIVEN[0])
    assert "run" not in vars(model)


def test_a_compiled_model_is_listened_to():
    model = ma.load(TINY, "accelerated", device="cpu")
    model.network.call = lambda *_: pytest.fail("compiled code does not call what is listened to")
    with ma.record(model, [4]) as recording:
        model(*GIVEN[0])
    np.testing.assert_allclose(
        recording.pattern[0, 0], model.attention_map(*GIVEN[0], layer=0, queries=4), rtol=1e-6
    )


def test_one_recording_within_another(backend_name):
    model = ma.load(TINY, backend_name, device="cpu")
    before = dict(vars(model))
    with ma.record(model, [7]) as outer:
        model(*GIVEN[0])
        with ma.record(model, [2, 11]) as inner:
            model(*GIVEN[1])
        model(*GIVEN[0])
    assert dict(vars(model)) == before
    assert (outer.frames, inner.frames) == ((0, 1, 2), (0,))
    for recording, frame, queries in ((outer, 1, [7]), (inner, 0, [2, 11])):
        truth = model.attention_map(*GIVEN[1], layer=0, queries=queries)
        np.testing.assert_allclose(recording.pattern[0, frame], truth, atol=bound("float32"))
