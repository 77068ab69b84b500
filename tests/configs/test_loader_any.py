"""Whatever a file says, it loads or is refused clearly."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

import memory_attention as ma


@given(
    document=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["model", "memory_attention", "layer", "d_model", "_target_", "x"]), inner
            )
        ),
        max_leaves=8,
    )
)
def test_any_yaml_loads_or_is_refused_clearly(document, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "drawn.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    try:
        assert isinstance(ma.load_config(path), ma.Config)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
        assert len(str(error)) <= len(str(path)) + 302  # noqa: PT017
