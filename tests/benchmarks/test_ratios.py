"""Ratios are paired, and what is noisier than its claim is known as such."""

import pytest

from memory_attention.benchmarks.ratios import Ratio, paired_ratios, quartiles, ratio_of, spread


def test_ratios_are_of_the_same_turn():
    """A slow turn is slow for both, and one that somebody sat out does not count."""
    assert paired_ratios([2.0, 30.0, 4.0], [1.0, 10.0, None]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="shorter"):
        paired_ratios([1.0, 2.0], [1.0])


def test_the_median_of_the_ratios_is_not_the_ratio_of_the_medians():
    found = ratio_of(paired_ratios([2.0, 8.0, 3.0], [1.0, 2.0, 3.0]))
    assert (found.median, found.lower, found.upper, found.pairs) == (2.0, 1.5, 3.0, 3)


def test_quartiles_lie_between_ranks():
    assert quartiles([4.0, 1.0, 2.0, 3.0]) == (1.75, 3.25)
    assert quartiles([5.0]) == (5.0, 5.0)
    assert spread([8.0, 10.0, 14.0]) == (12 - 9) / 10


@pytest.mark.parametrize(
    ("ratio", "noisy"),
    [
        (Ratio(1.4, 1.3, 1.6, 5), False),
        (Ratio(1.4, 1.2, 1.7, 5), True),
        (Ratio(0.6, 0.5, 0.8, 5), False),
        (Ratio(0.8, 0.7, 1.0, 5), True),
        (Ratio(1.4, 1.4, 1.4, 2), True),
    ],
)
def test_what_is_noisier_than_its_claim(ratio, noisy):
    assert ratio.noisy is noisy
