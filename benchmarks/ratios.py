"""How many times faster one contender is than another, and how sure that is."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

FEWEST = 3
"""Fewer pairs have no quartiles to speak of."""


class Ratio(NamedTuple):
    """The median of some ratios, and their quartiles."""

    median: float
    lower: float
    upper: float
    pairs: int

    @property
    def noisy(self) -> bool:
        """Whether half of the ratios are spread wider than their median is away from 1."""
        return self.pairs < FEWEST or self.upper - self.lower > abs(self.median - 1)


def paired_ratios(others: Sequence[float | None], own: Sequence[float | None]) -> list[float]:
    """The ratios of seconds of the same turn, of those turns in which both took part."""
    pairs = zip(others, own, strict=True)
    return [other / mine for other, mine in pairs if other is not None and mine is not None]


def ratio_of(ratios: Sequence[float]) -> Ratio:
    """Median and quartiles; one number is its own quartiles."""
    lower, upper = quartiles(ratios)
    return Ratio(statistics.median(ratios), lower, upper, len(ratios))


def spread(seconds: Sequence[float]) -> float:
    """The distance between the quartiles, as a share of the median."""
    lower, upper = quartiles(seconds)
    return (upper - lower) / statistics.median(seconds)


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The first and the third quartile, between the values of both ranks that they fall between."""
    if len(values) == 1:
        return values[0], values[0]
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper
