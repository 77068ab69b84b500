"""Groups of equal sizes."""

from hypothesis import given
from hypothesis import strategies as st

from memory_attention.rules.alike import alike


@given(st.lists(st.integers(0, 4)))
def test_every_place_is_in_the_group_of_its_size(sizes):
    groups = alike(sizes)
    assert sorted(place for group in groups for place in group) == list(range(len(sizes)))
    assert all(len({sizes[place] for place in group}) == 1 for group in groups)
    assert len(groups) == len(set(sizes))
    assert [group[0] for group in groups] == sorted(group[0] for group in groups)
    assert all(group == sorted(group) for group in groups)
