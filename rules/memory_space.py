"""When the values of an attention are better left in memory space: a count of floating-point operations."""


def memory_space_saves(num_queries: int, num_keys: int, head_dim: int, memory_dim: int) -> bool:
    """Whether weighting memories and projecting the mean takes fewer FLOPs than weighting projected memories.

    Counted for one head, two for a multiplication and an addition: the projection and the weighted sum,
    over M keys of `memory_dim` channels K and N queries, with `head_dim` d.
    """
    project_then_weight = 2 * num_keys * memory_dim * head_dim + 2 * num_queries * num_keys * head_dim
    weight_then_project = 2 * num_queries * num_keys * memory_dim + 2 * num_queries * memory_dim * head_dim
    return weight_then_project < project_then_weight
