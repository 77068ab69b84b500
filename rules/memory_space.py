"""When values, or queries, of an attention are better left in memory space: counts of floating-point operations.

All are counted for one head of d channels, a multiplication and an addition counting two: N queries, and M keys
made of memories of K channels.
"""

LEAST_GAIN = 1.2
"""Queries in memory space take smaller products: they were the faster ones from so many times fewer FLOPs."""


def memory_space_saves(num_queries: int, num_keys: int, head_dim: int, memory_dim: int) -> bool:
    """Whether weighting memories and projecting the mean takes fewer FLOPs than weighting projected memories.

    Counted are the projection and the weighted sum.
    """
    project_then_weight = 2 * num_keys * memory_dim * head_dim + 2 * num_queries * num_keys * head_dim
    weight_then_project = 2 * num_queries * num_keys * memory_dim + 2 * num_queries * memory_dim * head_dim
    return weight_then_project < project_then_weight


def projected_keys_flops(num_queries: int, num_keys: int, head_dim: int, memory_dim: int) -> int:
    """The FLOPs of the keys' projection and of the logits."""
    return 2 * num_keys * memory_dim * head_dim + 2 * num_queries * num_keys * head_dim


def memory_space_queries_flops(
    num_queries: int, num_placed: int, num_placeless: int, head_dim: int, memory_dim: int, grid: tuple[int, int]
) -> int:
    """The FLOPs of queries in memory space, and of their logits with memories on a grid (h, w) and with no place.

    Such a query has K + 1 numbers for each row, each column, and for all keys without a place; a key on the
    grid meets two of them.
    """
    width = memory_dim + 1
    turned = sum(grid) * num_queries * head_dim * width if num_placed else 0
    unturned = 2 * num_queries * head_dim * width if num_placeless else 0
    return turned + unturned + 2 * num_queries * width * (2 * num_placed + num_placeless)


def axial_saves(
    num_queries: int, num_placed: int, num_placeless: int, head_dim: int, memory_dim: int, grid: tuple[int, int]
) -> bool:
    """Whether queries in memory space take fewer FLOPs than projected keys, by `LEAST_GAIN`."""
    projected = projected_keys_flops(num_queries, num_placed + num_placeless, head_dim, memory_dim)
    in_memory_space = memory_space_queries_flops(
        num_queries, num_placed, num_placeless, head_dim, memory_dim, grid
    )
    return LEAST_GAIN * in_memory_space < projected
