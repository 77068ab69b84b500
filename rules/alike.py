"""Which objects of a frame go through the network together: those that see as many memories and pointers."""

from collections.abc import Hashable, Iterable


def alike(sizes: Iterable[Hashable]) -> list[list[int]]:
    """The places of equal sizes, group by group, in the order in which each size came first."""
    groups: dict[Hashable, list[int]] = {}
    for place, size in enumerate(sizes):
        groups.setdefault(size, []).append(place)
    return list(groups.values())
