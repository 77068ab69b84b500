"""The page for ports and its state file: what the words say, what the bank does, what an exported file gives."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import memory_attention as ma
import porting
from checks import error
from command_line import run
from memory_attention.integrations.form import Form
from memory_attention.integrations.onnx.file import build_model
from memory_attention.integrations.onnx.network import INPUTS
from memory_attention.integrations.onnx.runtime import Session
from memory_attention.tolerances import bound

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "porting.md").read_text(encoding="utf-8")
CALLS = [f"forwards.{frame}" for frame in range(1, porting.NUM_FRAMES)] + ["backwards.1"]


@pytest.fixture(scope="module")
def state():
    with safe_open(porting.PATH, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def call_of(state, call):
    prefix = f"calls.{call}."
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def test_the_file_is_small_and_says_what_the_arrays_do_not():
    assert porting.PATH.stat().st_size < 200_000
    with safe_open(porting.PATH, "np") as file:
        assert file.metadata() == porting.said()


def test_the_bank_gives_what_the_file_has(state):
    arrays = porting.draw_clip()
    again = porting.flat(arrays, porting.track(arrays))
    assert again.keys() == state.keys()
    for name, array in again.items():
        np.testing.assert_allclose(array, state[name], rtol=1e-6, atol=1e-6, err_msg=name)


def sine_1d(number, channels):
    powers = [10000.0 ** (2 * i / (channels / 2)) for i in range(channels // 4) for _ in range(2)]
    return [np.sin(number / power) for power in powers] + [np.cos(number / power) for power in powers]


def sine_2d(rows, columns, channels):
    def half(number, last):
        places = (
            2 * np.pi * number / (last + 1e-6) / 10000.0 ** (2 * i / (channels // 2)) for i in range(channels // 4)
        )
        return [turned(place) for place in places for turned in (np.sin, np.cos)]

    places = [(y, x) for y in range(1, rows + 1) for x in range(1, columns + 1)]
    return np.array([half(y, rows) + half(x, columns) for y, x in places])


def by_the_page(state, frame, stored, backwards):
    """Steps 1 to 6 for the config `tiny`, as somebody writes them down who has the page alone."""
    bank, (rows, columns) = porting.CONFIG.memory_bank, porting.GRID
    sign = -1 if backwards else 1
    prompted = [number for number in porting.PROMPTED if number in stored]
    chosen = [(number, 0) for number in prompted]
    for slot in range(1, bank.num_maskmem):
        number = frame - sign * (bank.num_maskmem - slot)
        if number in stored and number not in prompted:
            chosen.append((number, slot))
    absent = {number: np.array(who)[:, None, None, None] for number, who in porting.ABSENT.items()}
    embedding = state["no_obj_embed_spatial"][0][:, None, None]
    memories = [state[f"frames.{number}.memory"] + absent.get(number, 0) * embedding for number, _ in chosen]
    memory = [m[:, :, y, x] for m in memories for y in range(rows) for x in range(columns)]
    place = sine_2d(rows, columns, 8)
    times = [state["maskmem_tpos_enc"][bank.num_maskmem - slot - 1].ravel() for _, slot in chosen]

    reach = min(bank.max_obj_ptrs_in_encoder, porting.NUM_FRAMES)
    pointing = [(number, sign * (frame - number)) for number in prompted if sign * (frame - number) >= 0]
    for distance in range(1, reach):
        number = frame - sign * distance
        if number in stored and number not in prompted:
            pointing.append((number, distance))
    weight, bias = (state[f"obj_ptr_tpos_proj.{name}"] for name in ("weight", "bias"))
    whens = [weight @ np.array(sine_1d(d / max(1, reach - 1), 16)) + bias for _, d in pointing]
    cuts = [state[f"frames.{number}.pointer"][:, start : start + 8] for number, _ in pointing for start in (0, 8)]
    return {
        "memory": np.array(memory),
        "memory_pos": np.concatenate([place + time for time in times]),
        "pointers": np.array(cuts),
        "pointers_pos": np.repeat(whens, 2, axis=0),
        "curr_pos": sine_2d(rows, columns, 16),
    }


@pytest.mark.parametrize("call", CALLS)
def test_the_words_of_the_page_give_the_inputs(call, state):
    direction, frame = call.split(".")
    frame, backwards = int(frame), direction == "backwards"
    stored = set(range(porting.NUM_FRAMES)) - {1} if backwards else set(range(frame))
    given = call_of(state, call)
    for name, expected in by_the_page(state, frame, stored, backwards).items():
        shown = given[name] if name in ("memory", "pointers") else given[name][:, 0]
        np.testing.assert_allclose(shown, expected, rtol=1e-5, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(given["curr"], state[f"frames.{frame}.curr"])


def test_the_first_prompted_frame(state):
    given = call_of(state, "forwards.0")
    assert given.keys() == {"curr", "out"}
    np.testing.assert_allclose(given["out"], given["curr"] + state["no_mem_embed"], rtol=1e-6)


@pytest.mark.parametrize("opset", [18, 23])
def test_an_exported_file_gives_the_results(opset, state):
    parameters = ma.read_weights(porting.PATH, porting.CONFIG)
    model = build_model(porting.CONFIG, parameters, Form(opset, "float32", porting.GRID))
    session = Session(model.SerializeToString())
    for call in CALLS:
        given = call_of(state, call)
        assert given.keys() == {*INPUTS, "out"}
        assert error(session.run(given)["out"], given["out"].astype(np.float64)) <= bound("float32", 20), call


def test_the_clip_has_what_could_go_wrong(state):
    """Both kinds of frames, a slot that is prompted, an absent object, few and many memories and pointers."""
    lengths = {(len(call_of(state, call)["memory"]), len(call_of(state, call)["pointers"])) for call in CALLS}
    assert len(lengths) > 3
    assert set(porting.ABSENT) - set(porting.PROMPTED)
    assert porting.GRID[0] != porting.GRID[1]


def test_the_command_and_the_python_of_the_page(capfd, tmp_path, monkeypatch, state):
    line = next(line for line in PAGE.splitlines() if "--weights docs/porting.safetensors" in line)
    words = [str(porting.PATH) if word.startswith("docs/") else word for word in line.split()[1:]]
    words[words.index("tiny.onnx")] = str(tmp_path / "tiny.onnx")
    status, out, _ = run(capfd, *words)
    assert status == 0
    assert out.count(" ok ") == 3
    monkeypatch.setattr("memory_attention.backends.finding._registered", {})
    monkeypatch.chdir(tmp_path)
    namespace = {}
    exec(re.search(r"```python\n(.*?)```", PAGE, re.S)[1].replace("docs/", f"{ROOT}/docs/"), namespace)
    given = call_of(state, "forwards.4")
    memory, memory_pos = (np.concatenate([given[f"memory{x}"], given[f"pointers{x}"]]) for x in ("", "_pos"))
    result = namespace["model"](
        given["curr"], memory, given["curr_pos"], memory_pos, len(given["pointers"]), porting.GRID
    )
    assert error(result, given["out"].astype(np.float64)) <= bound("float32", 20)


def test_every_value_of_the_page_is_a_configs():
    rows = [
        line.strip("| ").split(" | ")
        for line in PAGE.split("<!-- configs -->")[1].split("\n\n")[0].split("\n")[1:]
    ]
    header, _, *rows = rows
    configs = [ma.load_config(name) for name in header[1:]]
    assert len(rows) == 16
    for key, *values in rows:
        for config, value in zip(configs, values, strict=True):
            assert value == _value(config, key.strip("`")), (key, config.name)


def _value(config, key):
    network = config.memory_attention
    own = {"d_model": network.d_model, "kv_in_dim": network.memory_dim, "rows and columns": config.grid}
    value = own[key] if key in own else getattr(config.memory_bank, key)
    return " × ".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()


def test_the_table_of_memory_is_the_measured_one():
    rows = json.loads((ROOT / "benchmarks" / "results" / "exported.json").read_text())["rows"]
    table = PAGE.split("exported.json -->")[1].split("\n\n")[0].strip().split("\n")[2:]
    shown = [[int(cell) for cell in line.strip("| ").split(" | ")] for line in table]
    expected = []
    for memories in (1, 4, 7):
        own = [row for row in rows if row["memories"] == memories]
        assert [(row["opset"], row["parts"]) for row in own] == [(23, 1), (23, 8), (18, 1), (18, 8)]
        expected.append([memories, round(own[0]["logits_mb"]), *(round(row["peak_mb"]) for row in own)])
    assert shown == expected


def test_the_other_sizes_have_the_same_values():
    for release in ("sam2_hiera_", "sam2.1_hiera_"):
        first, *others = (ma.load_config(release + size) for size in ("t", "s", "b+", "l"))
        for other in others:
            assert (other.memory_bank, other.memory_attention) == (first.memory_bank, first.memory_attention)


def test_the_prose_has_no_other_numbers():
    """But for those of formulas, of opsets, and of names."""
    prose = re.sub(r"<!--.*?\n\n|```.*?```|`[^`]*`", "", PAGE, flags=re.S).replace("SAM 2.1", "")
    prose = re.sub(r"SAM \d|(int|float)\d+", "", prose)
    numbers = set(re.findall(r"\d+", prose))
    assert numbers <= {"0", "1", "2", "3", "4", "5", "6", "10000"}, numbers
