"""Rotation takes any layout in memory."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from cases import drawn, seeds
from memory_attention.accelerated.position import rotary_table, rotate


@given(seed=seeds, layout=st.permutations(range(4)), offset=st.integers(0, 1), padding=st.integers(0, 1))
def test_rotation_takes_any_layout(seed, layout, offset, padding):
    """Also those whose pairs are not pairs in memory."""
    sizes = np.array([2, 3, 6, 8])[layout]
    stored = drawn(seed, *sizes[:-1], int(sizes[-1]) + offset + padding)
    x = stored[..., offset : offset + int(sizes[-1])].permute(*np.argsort(layout).tolist())
    table = rotary_table(2, 3, 8, 100.0, "cpu", torch.float64)
    assert torch.equal(rotate(x, table), rotate(x.contiguous(), table))
    # The keys go the same way, however the module in place of k_proj lays them out.
    out = torch.empty(x.shape, dtype=x.dtype)
    rotate(x, table, out=out)
    assert torch.equal(out, rotate(x, table))
