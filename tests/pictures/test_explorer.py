"""The explorer in a real browser: what is drawn are `attention_map`'s values, by mouse and by keyboard."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps

import memory_attention as ma
from memory_attention.looks import Look
from memory_attention.pictures.explorer import explore
from memory_attention.recording import Recording
from memory_attention.tracker import Tracker, initial_weights
from memory_attention.tracker.evaluation import held_out_clip
from memory_attention.tracker.recorded import record_steps

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="needs Chromium (Debian: apt-get install chromium)"
)
FRAMES = 5


@pytest.fixture(scope="module")
def tracked():
    """A short clip, tracked by random weights: what is drawn must be right whatever was learned."""
    config = ma.load_config("tracker")
    tracker = Tracker(config, initial_weights(config, seed=1), "reference")
    clip = held_out_clip(0, FRAMES)
    steps = list(tracker.follow(clip.frames, clip.masks[0, :1]))
    return tracker, clip, steps


def page_of(tracker, frames, masks, steps, chosen, title, names=()):
    """The page of these frames of a tracked video."""
    recording = record_steps(tracker.attention, steps, chosen, names)
    return explore(recording.add_images(frames, masks), title, names=names)


@pytest.fixture(scope="module")
def page_path(tracked, tmp_path_factory) -> Path:
    tracker, clip, steps = tracked
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    page_of(tracker, clip.frames, clip.masks[:, 0], steps, [2, 4], "A </script> title & more").save(path)
    return path


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield launched
        launched.close()


@pytest.fixture
def page(browser, page_path):
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    trouble = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or trouble.append(request.url))
    go_to(page, page_path)
    yield page
    page.close()
    assert not trouble


def drawn(page, selector):
    """The colours [canvases, pixels, 3] that the canvases hold."""
    script = """all => all.map(c => [...c.getContext("2d").getImageData(0, 0, c.width, c.height).data])"""
    pixels = [np.array(data).reshape(-1, 4)[:, :3] for data in page.eval_on_selector_all(selector, script)]
    return np.concatenate(pixels)


def expected_colours(row):
    table = (colormaps["viridis"](np.arange(256))[:, :3] * 255).round().astype(int)
    levels = row / row.max() * 255
    return table, levels


def shown_layer(page):
    """Which layer the page opens on follows from the weights."""
    return int(page.locator("input[name=layer]:checked + *").inner_text())


def asked(page):
    """Row and column of the query that is shown."""
    return [int(page.locator("#now").get_attribute(f"data-{name}")) for name in ("row", "column")]


def row_asked(page, tracker, step):
    """The softmax row of the query and layer that are shown."""
    row, column = asked(page)
    return tracker.attention.attention_map(*step.seen, layer=shown_layer(page), queries=16 * row + column)[0, 0, 0]


def check_heat(page, tracked, frame, layer, kind, row, column, index=0):
    """Every drawn token has the colour of its value, up to the rounding of the colour scale."""
    tracker, _, steps = tracked
    width = tracker.config.grid[1]
    rows = tracker.attention.attention_map(
        *steps[frame].seen, layer=layer, kind=kind, queries=row * width + column
    )
    values = rows[index].mean(axis=0)[0]
    table, levels = expected_colours(values)
    colours = drawn(page, "#memories canvas")
    if kind == "cross":
        colours = np.concatenate([colours, drawn(page, "#pointers canvas")])
    assert len(colours) == len(values)
    for colour, level in zip(colours, levels, strict=True):
        near = table[max(0, int(level) - 1) : int(level) + 3]
        assert np.any(np.all(near == colour, axis=1)), (colour, level)


def go_to(page, path):
    page.goto(path.as_uri())
    wait(page)


def choose(page, name, value):
    page.locator(f"input[name={name}][value='{value}']").check(force=True)
    wait(page)


def wait(page):
    """Until what is chosen is drawn: the page unpacks it first."""
    chosen = """["object", "frame", "layer", "kind"].map(name => state[name]).join()"""
    page.wait_for_function(
        f"document.body.dataset.drawn === {chosen} && document.getElementById('now').dataset.row"
    )


@pytest.mark.parametrize("kind", ["cross", "self"])
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize(("index", "frame"), [(0, 2), (1, 4)])
def test_the_heat_is_the_attention_map(page, tracked, kind, layer, index, frame):
    choose(page, "frame", index)
    choose(page, "layer", layer)
    choose(page, "kind", kind)
    box = page.locator("#now").bounding_box()
    for row, column in ((0, 0), (3, 12), (15, 15)):
        page.mouse.move(box["x"] + (column + 0.5) * box["width"] / 16, box["y"] + (row + 0.5) * box["height"] / 16)
        assert asked(page) == [row, column]
        check_heat(page, tracked, frame, layer, kind, row, column)


def test_by_keyboard_alone(page, tracked):
    """Tab reaches the choices and then the frame; the arrows choose and move, and stop at the border."""
    assert page.evaluate("document.activeElement.id") == "now"
    for _ in range(3):
        page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.name") == "frame"
    page.keyboard.press("ArrowLeft")
    wait(page)
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "now"
    for key, count in (("ArrowUp", 20), ("ArrowDown", 2), ("ArrowRight", 30), ("ArrowLeft", 1)):
        for _ in range(count):
            page.keyboard.press(key)
    check_heat(page, tracked, 2, shown_layer(page), "cross", 2, 14)
    assert "Row 2, column 14." in page.locator("#said").inner_text()


def test_bars_are_the_shares(page, tracked):
    tracker, _, steps = tracked
    widths = page.eval_on_selector_all(".share i", "all => all.map(i => parseFloat(i.style.width))")
    shares = row_asked(page, tracker, steps[4])[: 256 * len(widths)].reshape(-1, 256).sum(axis=1)
    np.testing.assert_allclose(np.array(widths) / 100, shares, atol=1e-4)
    assert len(widths) == len(steps[4].memory_frames)


@pytest.mark.parametrize("layer", [0, 1])
def test_the_largest_share_is_named_be_it_a_memorys_or_a_pointers(page, tracked, layer):
    """The last layer of the untrained tracker looks at pointers."""
    tracker, _, steps = tracked
    choose(page, "layer", layer)
    lengths = {f"the memory of frame {frame}": 256 for frame in steps[4].memory_frames}
    lengths |= {f"the pointer of frame {frame}": 2 for frame in steps[4].pointer_frames}
    shares = np.add.reduceat(row_asked(page, tracker, steps[4]), np.cumsum([0, *lengths.values()])[:-1])
    largest = list(lengths)[shares.argmax()]
    assert ("pointer" in largest) == (layer == 1)
    assert page.locator("#said").inner_text().endswith(f"is on {largest}.")


@pytest.fixture(scope="module")
def pair(tracked):
    """Two objects of the same clip."""
    tracker, clip, _ = tracked
    return tracker, clip, list(tracker.follow(clip.frames, clip.masks[0, :2]))


def test_every_object_can_be_asked(pair, browser, tmp_path):
    tracker, clip, steps = pair
    names = ["object 3", "object <7>"]
    wide = np.repeat(clip.frames, 2, axis=2)[:, :112]
    kept = {2: steps[2], 4: steps[4]}
    page_of(tracker, wide, clip.masks[:, :2], kept, [2, 4], "Two", names).save(tmp_path / "pair.html")
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    go_to(page, tmp_path / "pair.html")
    assert page.locator("#named").inner_text() == ": object 3, object <7>"
    swatches = page.eval_on_selector_all("#named .swatch", "all => all.map(i => i.style.background)")
    assert swatches == ["rgb(213, 94, 0)", "rgb(86, 180, 233)"]
    box = page.locator("#now").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(256 / 112, rel=0.01)
    # The page starts on the first object.
    row, column = asked(page)
    assert clip.masks[4, 0].reshape(16, 8, 16, 8)[row, :, column].any()
    for index in (0, 1):
        choose(page, "object", index)
        check_heat(page, pair, 4, shown_layer(page), "cross", row, column, index)
    page.close()


def test_of_many_objects_the_first_can_be_asked_and_all_are_named(tracked, browser, tmp_path):
    tracker, clip, _ = tracked
    masks = np.zeros((2, 6, *clip.frames.shape[1:3]), bool)
    for index in range(6):
        masks[:, index, 20 * index : 20 * index + 15, 30:60] = True
    steps = list(tracker.follow(clip.frames[:2], masks[0]))
    page = browser.new_page()
    page_of(tracker, clip.frames[:2], masks, steps, [1], "Many").save(tmp_path / "many.html")
    go_to(page, tmp_path / "many.html")
    assert page.locator("#named").inner_text() == ": " + ", ".join(f"object {n}" for n in range(1, 7))
    assert page.locator("input[name=object]").count() == 4
    page.close()


def test_only_recorded_queries_can_be_asked(browser, tmp_path):
    """Of a recording with a few queries, without pictures, of memories of unknown frames."""
    rows = np.random.default_rng(3).random((1, 3, 2 * 24 + 4), np.float32)
    rows /= rows.sum(axis=-1, keepdims=True)
    look = Look(5, "cup", (4, 6), np.array([1, 9, 22]), {("cross", 2): rows}, 4, frame_known=False)
    explore(Recording({"model": "Some"}, [look])).save(tmp_path / "few.html")
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    go_to(page, tmp_path / "few.html")
    assert page.locator("#asked i").count() == 3
    assert page.locator("#some").is_visible()
    assert page.locator("#heading").inner_text() == "Call 5"
    captions = [text.split(" of an")[0] for text in page.locator("figcaption").all_inner_texts()]
    assert captions == ["memory 1,", "memory 2,"]
    box = page.locator("#now").bounding_box()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.95 * box["height"])
    assert asked(page) == [3, 4]
    widths = page.eval_on_selector_all(".share i", "all => all.map(i => parseFloat(i.style.width))")
    np.testing.assert_allclose(widths, 100 * rows[0, 2, :48].reshape(2, 24).sum(axis=1), rtol=1e-4)
    page.keyboard.press("ArrowUp")
    assert asked(page)[0] == 1
    page.keyboard.press("ArrowRight")
    assert asked(page)[0] == 3
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(browser, page_path, scheme):
    """Contrast of at least 4.5 : 1 between text and page, as the WCAG asks."""
    page = browser.new_page(color_scheme=scheme)
    go_to(page, page_path)
    style = "getComputedStyle(document.querySelector({}))"
    script = f"s => [{style.format('s')}.color, {style.format('`body`')}.backgroundColor]"
    for selector in ("h1", "p", "#said", "figcaption", "#legend"):
        light, dark = sorted((luminance(colour) for colour in page.evaluate(script, selector)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, selector
    assert page.title() == "A </script> title & more"
    page.close()


@pytest.mark.parametrize("width", [1200, 800, 400])
def test_every_caption_is_one_line_and_says_its_frame(page, tracked, width):
    page.set_viewport_size({"width": width, "height": 900})
    _, _, steps = tracked
    frames = [f"frame {number}" for number in steps[4].memory_frames]
    captions = page.locator("figcaption").all_inner_texts()
    assert [caption.split("\n")[0] for caption in captions] == ["frame 0: prompt", *frames[1:]]
    letter = "parseFloat(getComputedStyle(c).fontSize)"
    sizes = f"all => all.map(c => [c.scrollWidth, c.clientWidth, c.clientHeight, {letter}])"
    for needed, given, height, letter in page.eval_on_selector_all("figcaption", sizes):
        assert needed <= given
        assert height < 2 * letter
    pointers = [text.split(":")[0] for text in page.locator("#pointers div").all_inner_texts()]
    assert pointers == [f"frame {number}" for number in steps[4].pointer_frames]


def luminance(colour):
    channels = np.array([int(part) for part in colour[4:-1].split(",")]) / 255
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_it_shows_in_a_notebook(page_path, tracked):
    tracker, clip, steps = tracked
    explorer = page_of(tracker, clip.frames, clip.masks[:, 0], steps, [2], "title")
    assert explorer._repr_html_().startswith("<iframe srcdoc=")
    with pytest.raises(ValueError, match="show has frame 0, expected one that was tracked: 1, 2, 3, 4"):
        page_of(tracker, clip.frames, clip.masks[:, 0], steps, [0], "title")
