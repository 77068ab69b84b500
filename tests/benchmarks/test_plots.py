"""The plot shows how time and memory grow."""

import numpy as np
import pytest

from memory_attention.benchmarks.plots import draw_growth


def row(time, mb=None):
    return {"time": time, "seconds": [time], "share_of_floor": 0.5, "peak_mb": mb}


def growth(memory):
    sizes = [(1, 8), (2, 8), (2, 12)]
    measured = [
        {
            "memories": m,
            "objects": 1,
            "grid": g,
            "frames": 1,
            "gradients": False,
            "contenders": {"fast": row(m * g, 3.0 if memory else None)},
        }
        for m, g in sizes
    ]
    return {
        "machine": {"processor": "some", "threads": 2},
        "setting": {"config": "tiny", "dtype": "float32"},
        "cases": measured,
    }


@pytest.mark.parametrize("memory", [True, False])
def test_the_plot_shows_both_growths(memory):
    figure = draw_growth(growth(memory))
    assert len(figure.axes) == (4 if memory else 2)
    by_memory, by_grid = figure.axes[:2]
    assert len(by_memory.lines) == 1
    np.testing.assert_array_equal(by_memory.lines[0].get_xydata(), [[1, 8], [2, 16]])
    np.testing.assert_array_equal(by_grid.lines[0].get_xydata(), [[8, 16], [12, 24]])
    assert by_memory.get_ylabel() == "seconds"


def test_the_plot_needs_growth():
    nothing = growth(memory=False) | {"cases": []}
    with pytest.raises(ValueError, match="no two memory lengths"):
        draw_growth(nothing)
