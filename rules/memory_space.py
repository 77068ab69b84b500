"""When values, or queries, of an attention are better left in memory space: counts of floating-point operations.

All are counted for one head of d channels, a multiplication and an addition counting two: N queries, and M keys
made of memories of K channels.
"""

from typing import NamedTuple


def memory_space_saves(num_queries: int, num_keys: int, head_dim: int, memory_dim: int) -> bool:
    """Whether weighting memories and projecting the mean takes fewer FLOPs than weighting projected memories.

    Counted are the projection and the weighted sum.
    """
    project_then_weight = 2 * num_keys * memory_dim * head_dim + 2 * num_queries * num_keys * head_dim
    weight_then_project = 2 * num_queries * num_keys * memory_dim + 2 * num_queries * memory_dim * head_dim
    return weight_then_project < project_then_weight


class Tokens(NamedTuple):
    """Queries on a grid (h, w), memories that have a place on it, and memories that have none."""

    queries: int
    placed: int
    placeless: int
    grid: tuple[int, int]


def queries_flops(tokens: Tokens, head_dim: int, memory_dim: int) -> int:
    """The FLOPs of bringing queries to memory space.

    There a query has K + 1 numbers for each row, each column, and for all memories without a place.
    """
    turned = sum(tokens.grid) * head_dim if tokens.placed else 0
    unturned = 2 * head_dim if tokens.placeless else 0
    return tokens.queries * (memory_dim + 1) * (turned + unturned)


def queries_logits_flops(tokens: Tokens, memory_dim: int) -> int:
    """The FLOPs of the logits of queries in memory space: a memory on the grid meets two of their numbers."""
    return 2 * tokens.queries * (memory_dim + 1) * (2 * tokens.placed + tokens.placeless)


def queries_gain(tokens: Tokens, head_dim: int, memory_dim: int) -> float:
    """How many times fewer FLOPs the logits take from queries in memory space than from projected keys."""
    num_keys = tokens.placed + tokens.placeless
    projected = 2 * num_keys * memory_dim * head_dim + 2 * tokens.queries * num_keys * head_dim
    brought = queries_flops(tokens, head_dim, memory_dim)
    return projected / (brought + queries_logits_flops(tokens, memory_dim))
