"""Titles that users' names are in."""

import warnings

import pytest

from memory_attention.pictures.figures import Figure, as_drawn, save


@pytest.mark.parametrize(
    ("words", "drawn"),
    [
        ("cost_$5_and_$6", r"cost_\$5_and_\$6"),
        ("[red]clip[/red]", "[red]clip[/red]"),
        ("IoU 0.5 × α − β…", "IoU 0.5 × α − β…"),
        ("视频", r"\u89c6\u9891"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_titles_are_drawn_as_they_are(tmp_path, words, drawn):
    assert as_drawn(words) == drawn
    figure = Figure()
    figure.suptitle(as_drawn(words))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(figure, tmp_path / "a.png")
