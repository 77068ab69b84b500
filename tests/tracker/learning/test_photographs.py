"""The photographs of training and of evaluation are disjoint."""

import numpy as np
import pytest

from memory_attention.tracker.learning.photographs import HELD_OUT, SHORTER_SIDE, TRAINING, photograph

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
