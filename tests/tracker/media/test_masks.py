"""Masks as people have them: every format of the same objects is understood alike, or refused in words."""

import io

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from memory_attention.tracker.media import masks as masks_module
from memory_attention.tracker.media.masks import davis_palette, objects_of, read_mask

Image = pytest.importorskip("PIL.Image")
ImageDraw = pytest.importorskip("PIL.ImageDraw")

HEIGHT, WIDTH = 37, 52


@st.composite
def label_images(draw, largest=200, most=5):
    """Rectangles of different labels, not all of them hidden, some of a single pixel."""
    values = draw(st.lists(st.integers(1, largest), min_size=1, max_size=most, unique=True))
    labels = np.zeros((HEIGHT, WIDTH), np.int32)
    for value in values:
        top, left = draw(st.integers(0, HEIGHT - 1)), draw(st.integers(0, WIDTH - 1))
        height, width = draw(st.sampled_from([(1, 1), (4, 7), (12, 9), (20, 20)]))
        labels[top : top + height, left : left + width] = value
    return labels


def no_edges(labels):
    """Whether labels that fill no 3 × 3 pixels are away from all others; beside those they may be edges."""
    for value in np.unique(labels[labels > 0]):
        own = labels == value
        fills = np.lib.stride_tricks.sliding_window_view(own, (3, 3)).all(axis=(2, 3)).any()
        near = np.lib.stride_tricks.sliding_window_view(np.pad(own, 2), (5, 5)).any(axis=(2, 3))
        if not fills and (near & (labels > 0) & ~own).any():
            return False
    return True


def palette_image(labels, palette):
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(palette)
    return image


def read(image, suffix="png", **how):
    """What is read of an image after it was written to a file and opened again."""
    buffer = io.BytesIO()
    image.save(buffer, suffix, **how)
    with Image.open(buffer) as again:
        return masks_module.labels_of(again, "mask", lossy=suffix == "JPEG")


def disc(size=(320, 480), scale=1):
    """A disc and its antialiased picture at 1 / scale of the size."""
    image = Image.new("L", size[::-1])
    ImageDraw.Draw(image).ellipse([80, 60, 300, 250], fill=255)
    small = image.resize((size[1] // scale, size[0] // scale), Image.Resampling.BOX)
    return small, np.asarray(small) >= 128


@given(label_images())
def test_grey_values_are_labels(labels):
    assume(no_edges(labels))
    np.testing.assert_array_equal(read(Image.fromarray(labels.astype(np.uint8))), labels)


@given(label_images(largest=60_000))
def test_deep_grey_values_are_labels(labels):
    assume(labels.max() != 255)  # that alone is white
    np.testing.assert_array_equal(read(Image.fromarray(labels.astype(np.uint16))), labels)
    np.testing.assert_array_equal(read(Image.fromarray(labels), "TIFF"), labels)
    np.testing.assert_array_equal(read(Image.fromarray(labels.astype(np.float32)), "TIFF"), labels)


@given(label_images(largest=255))
def test_palette_indices_are_labels(labels):
    np.testing.assert_array_equal(read(palette_image(labels, davis_palette().ravel().tolist())), labels)


@given(label_images(largest=1, most=1))
def test_white_is_label_one(labels):
    for white in (1, 255):
        np.testing.assert_array_equal(read(Image.fromarray((labels * white).astype(np.uint8))), labels)
    np.testing.assert_array_equal(read(Image.fromarray((labels * 65535).astype(np.uint16))), labels)
    np.testing.assert_array_equal(read(Image.fromarray(labels.astype(bool))), labels)
    grey = Image.fromarray((labels * 255).astype(np.uint8))
    for mode in ("RGB", "LA", "RGBA", "P"):
        np.testing.assert_array_equal(read(grey.convert(mode)), labels)
    np.testing.assert_array_equal(read(grey, "BMP"), labels)
    np.testing.assert_array_equal(read(grey, "GIF"), labels)


def test_a_short_palette_is_read_by_its_indices():
    labels = np.zeros((HEIGHT, WIDTH), np.int32)
    labels[8:20, 8:30] = 1
    # The grey of its colour would be 38.
    np.testing.assert_array_equal(read(palette_image(labels, [0, 0, 0, 128, 0, 0])), labels)


def test_a_palette_whose_black_is_not_first():
    labels = np.ones((HEIGHT, WIDTH), np.int32)
    labels[3:9, 4:20] = 0
    found = read(palette_image(labels, [200, 10, 10, 0, 0, 0]))
    np.testing.assert_array_equal(found, labels == 0)


@given(label_images(largest=20))
def test_colours_of_daviss_palette_are_its_labels(labels):
    # Label 7 is grey there, which is a value where no other colour is.
    assume(no_edges(labels) and set(np.unique(labels)) - {0} != {7})
    np.testing.assert_array_equal(read(Image.fromarray(davis_palette()[labels])), labels)


def test_other_colours_are_numbered_as_one_reads():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[20:30, 2:12] = (10, 10, 250)
    image[5:15, 30:40] = (240, 20, 60)
    found = read(Image.fromarray(image))
    assert (found[6, 35], found[25, 5], found[0, 0]) == (1, 2, 0)
    np.testing.assert_array_equal(found > 0, image.any(axis=-1))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_the_mask(mode):
    """A cut-out photograph: what is opaque is the object, whatever it looks like."""
    rng = np.random.default_rng(0)
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[4:20, 9:33], alpha[20, 9:33] = 255, 90
    image = Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).convert(mode)
    image.putalpha(Image.fromarray(alpha))
    np.testing.assert_array_equal(read(image), alpha == 255)


def test_colours_on_transparency_are_objects():
    image = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    image[4:10, 3:9], image[20:30, 9:33] = (200, 0, 0, 255), (0, 90, 200, 255)
    found = read(Image.fromarray(image))
    assert (found[5, 5], found[25, 20], found[0, 0]) == (1, 2, 0)
    black = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    black[4:10, 3:9, 3] = 255
    np.testing.assert_array_equal(read(Image.fromarray(black)), black[..., 3] > 0)


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_what_jpeg_does_to_a_mask_is_undone(quality, mode):
    image, expected = disc()
    found = read(image.convert(mode), "JPEG", quality=quality)
    assert set(np.unique(found)) == {0, 1}
    assert (found != expected).mean() < 0.002
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as again:
        assert (read(again.convert("L")) != expected).mean() < 0.002


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_antialiased_edges_are_cut_at_half(scale):
    image, expected = disc(scale=scale)
    assert len(np.unique(image)) > 3
    np.testing.assert_array_equal(read(image), expected)


def test_antialiased_colours_are_no_more_objects():
    image = Image.new("RGB", (480, 320))
    pen = ImageDraw.Draw(image)
    pen.ellipse([80, 60, 300, 250], fill=(255, 0, 0))
    pen.ellipse([240, 160, 400, 300], fill=(0, 255, 0))
    small = image.resize((120, 80), Image.Resampling.BILINEAR)
    assert len(np.unique(np.asarray(small).reshape(-1, 3), axis=0)) > 100
    found = read(small)
    assert set(np.unique(found)) == {0, 1, 2}
    sharp = np.asarray(image.resize((120, 80), Image.Resampling.NEAREST))
    assert (found != np.select([sharp[..., 0] > 0, sharp[..., 1] > 0], [1, 2])).mean() < 0.01


def test_a_small_object_beside_a_large_one_is_not_taken_for_an_edge():
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[5:25, 5:25], labels[10, 25:27] = 3, 1
    np.testing.assert_array_equal(read(Image.fromarray(labels)), labels)
    image = davis_palette()[labels]
    np.testing.assert_array_equal(read(Image.fromarray(image)), labels)


def test_a_dot_away_from_all_objects_is_no_edge():
    image, expected = disc(scale=4)
    values = np.array(image)
    dot = next(value for value in range(100, 200) if value not in values)
    values[70:72, 110] = dot
    labels = read(Image.fromarray(values))
    np.testing.assert_array_equal(labels == dot, values == dot)
    np.testing.assert_array_equal(labels == 255, expected)


def noise(mode):
    rng = np.random.default_rng(1)
    smooth = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((160, 120))
    return smooth.convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix", "message"),
    [
        ("RGB", "PNG", "different colours, expected a mask, not a photograph"),
        ("RGB", "JPEG", "is a JPEG in colours"),
        ("L", "PNG", "different values besides 0, expected a mask"),
        ("L", "JPEG", "different values, expected a mask"),
        ("P", "PNG", "different values besides 0, expected a mask"),
        ("F", "TIFF", "has fractions"),
    ],
)
def test_a_photograph_is_no_mask(mode, suffix, message):
    image = noise("L").point(lambda value: value / 7, "F") if mode == "F" else noise(mode)
    with pytest.raises(ValueError, match=message):
        objects_of(read(image, suffix))


@given(label_images())
def test_every_label_is_an_object(labels):
    present = sorted(set(labels.ravel()) - {0})
    found = objects_of(labels)
    assert found.labels == tuple(present)
    for mask, label in zip(found.masks, found.labels, strict=True):
        np.testing.assert_array_equal(mask, labels == label)
    chosen = objects_of(labels, present[::-2])
    assert chosen.labels == tuple(sorted(present[::-2]))
    np.testing.assert_array_equal(chosen.masks.sum(axis=0), np.isin(labels, present[::-2]))


def test_what_there_is_no_object_of_is_named():
    labels = np.arange(60).reshape(6, 10)
    with pytest.raises(ValueError, match="has 59 different values besides 0, expected a mask"):
        objects_of(labels)
    assert objects_of(labels, [7]).masks.sum() == 1
    with pytest.raises(ValueError, match=r"object is 77, expected one of those in m.png: 1, 2, 3, .*\(59\)"):
        objects_of(labels, [7, 77], "m.png")
    with pytest.raises(ValueError, match="m.png: mask is empty"):
        objects_of(0 * labels, None, "m.png")


def test_a_mask_turned_by_exif(tmp_path):
    mask = np.zeros((20, 30), np.uint8)
    mask[2:6, 3:20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    Image.fromarray(mask).save(tmp_path / "mask.png", exif=exif)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), np.rot90(mask, -1) > 0)


def test_the_palette_is_pascal_vocs():
    expected = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 5: (128, 0, 128), 8: (64, 0, 0), 21: (128, 64, 128)}
    for label, colour in expected.items():
        assert tuple(davis_palette()[label]) == colour
    assert len(np.unique(davis_palette(), axis=0)) == 256
