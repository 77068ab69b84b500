"""The evaluation's report."""

import pytest

from memory_attention.configs import load_config
from memory_attention.tracker import evaluate, initial_weights

pytest.importorskip("skimage", reason="the clips are made of scikit-image's photographs")

CONFIG = load_config("tracker")


def test_the_report_has_its_baselines():
    weights = initial_weights(CONFIG, seed=0)
    report = evaluate(CONFIG, weights, "accelerated", clips=2, frames=3, batch=2, show_progress=False)
    assert (report.clips, report.frames) == (2, 3)
    for figure in (report.iou, report.iou_without_memory, report.iou_of_first_mask):
        assert 0 <= figure <= 1
    assert len(report.attention_share) == CONFIG.memory_attention.num_layers
