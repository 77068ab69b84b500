"""The photographs of training and of evaluation are disjoint."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memory_attention.tracker.learning.photographs import (
    HELD_OUT,
    SHORTER_SIDE,
    TRAINING,
    photograph,
    photographs_of,
)

pytest.importorskip("skimage", reason="the clips are made of scikit-image's photographs")


def test_photographs_of_training_are_never_held_out() -> None:
    assert not set(TRAINING) & set(HELD_OUT)
    # Two views of one scene would be no disjoint photographs.
    assert not {"motorcycle_left.png", "motorcycle_right.png"} & set(TRAINING)


@pytest.mark.parametrize("name", TRAINING + HELD_OUT)
def test_photographs_are_colours(name: str) -> None:
    image = photograph(name)
    assert image.dtype == np.float32
    assert image.shape[2] == 3
    assert min(image.shape[:2]) >= SHORTER_SIDE
    assert image.min() >= 0
    assert image.max() <= 1


def test_photographs_of_a_folder_are_read_as_they_are(tmp_path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (SHORTER_SIDE, SHORTER_SIDE + 7, 3), np.uint8)
    for number in range(6):
        Image.fromarray(colours + np.uint8(number)).save(tmp_path / f"{number}.PNG")
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".6.PNG").touch()
    (tmp_path / "7.png").mkdir()
    names = photographs_of(tmp_path)
    assert names == tuple(str(tmp_path / f"{number}.PNG") for number in range(6))
    np.testing.assert_array_equal(photograph(names[0]), colours.astype(np.float32) / 255)
    (tmp_path / "5.PNG").unlink()
    with pytest.raises(ValueError, match=r"photographs: .* has 5 images, expected 6 or more"):
        photographs_of(tmp_path)
    with pytest.raises(FileNotFoundError, match="photographs: no such folder"):
        photographs_of(tmp_path / "elsewhere")
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((SHORTER_SIDE, SHORTER_SIDE), 20000, np.uint16)).save(deep)
    with pytest.raises(ValueError, match=r"deep\.png: has more than 8 bits a channel"):
        photograph(str(deep))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.jpg: not a readable image"):
        photograph(str(broken))


def test_a_photograph_of_the_folder_that_one_is_in_is_no_other_of_its_name(tmp_path, monkeypatch) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (SHORTER_SIDE, SHORTER_SIDE, 3), np.uint8)
    for number in range(5):
        Image.fromarray(colours).save(tmp_path / f"{number}.png")
    Image.fromarray(colours).save(tmp_path / "coffee.png")
    monkeypatch.chdir(tmp_path)
    (name,) = (name for name in photographs_of(Path()) if name.endswith("coffee.png"))
    np.testing.assert_array_equal(photograph(name), colours.astype(np.float32) / 255)
