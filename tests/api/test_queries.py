"""Which tokens are meant by numbers, masks and boxes."""

import numpy as np
import pytest
import torch

from memory_attention import Box
from memory_attention.queries import check_queries, tokens_of

GRID = (3, 5)


def chosen(queries, most=99, grid=GRID):
    return tokens_of(check_queries(queries), grid, most).tolist()


@pytest.mark.parametrize(
    "queries", [[11, 2, 7], (11, 2, 7), np.array([11, 2, 7], np.uint8), torch.tensor([11, 2, 7]), range(11, 0, -4)]
)
def test_numbers_keep_their_order(queries):
    expected = [int(number) for number in queries]
    assert chosen(queries) == expected
    # Numbers are all taken, however many.
    assert chosen(queries, most=1) == expected


@pytest.mark.parametrize("number", [4, np.int64(4), torch.tensor(4)])
def test_one_number(number):
    assert chosen(number) == [4]


def test_masks_of_any_size():
    mask = np.zeros((30, 100), bool)
    mask[10:20, 40:100] = True
    for given in (mask, mask.astype(np.uint8) * 255, torch.from_numpy(mask)):
        assert chosen(given) == [7, 8, 9]
    assert chosen(np.array([[False, True, False]])) == [2, 7, 12]


def test_of_a_large_mask_some_are_spread_over_it():
    assert chosen(np.ones(GRID, bool), most=1) == [7]
    assert chosen(np.ones(GRID, bool), most=5) == [0, 4, 7, 10, 14]
    # No cell of a large grid is far from a chosen one, in either direction.
    tokens = np.array(chosen(np.ones((16, 16), bool), most=16, grid=(16, 16)))
    assert len(set(tokens)) == 16
    row, column = np.divmod(np.arange(256)[:, None], 16)
    away = np.hypot(row - tokens // 16, column - tokens % 16).min(axis=1)
    assert away.max() <= 4


def test_boxes():
    assert chosen(Box(20, 0, 60, 20, width=100, height=30)) == [1, 2, 6, 7]
    assert chosen(Box(0.2, 0, 0.6, 2 / 3)) == [1, 2, 6, 7]
    # Between the middles of all cells: the cell that it is in.
    assert chosen(Box(0.32, 0.52, 0.33, 0.55)) == [6]


@pytest.mark.parametrize("sides", [(0.5, 0, 0.5, 1), (0, 0.3, 1, 0.2), (-0.1, 0, 1, 1), (0, 0, 20, 30)])
def test_boxes_that_are_none(sides):
    with pytest.raises(ValueError, match="queries is Box.*expected left < right and top < bottom, inside"):
        Box(*sides)


@pytest.mark.parametrize(
    ("queries", "error", "message"),
    [
        ("lost", TypeError, "queries is str .* expected token numbers, a mask .* or 'found'"),
        (1.5, TypeError, "queries is float"),
        ([], TypeError, "queries is list"),
        (None, TypeError, "queries is NoneType"),
        (np.zeros((2, 3, 4), bool), TypeError, r"of shape \(2, 3, 4\)"),
        (np.ones((4, 5)), TypeError, "dtype float64"),
        (np.ones(4, bool), TypeError, "dtype bool"),
        (np.zeros((4, 5), bool), ValueError, r"queries is an empty mask of shape \(4, 5\)"),
    ],
)
def test_what_is_no_query(queries, error, message):
    with pytest.raises(error, match=message):
        check_queries(queries)


@pytest.mark.parametrize("number", [-1, 15])
def test_outside_the_grid(number):
    with pytest.raises(ValueError, match=rf"queries has token {number}, expected 0 to 14 on \(3, 5\)"):
        chosen([3, number])
