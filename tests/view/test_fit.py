from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.view.fit import Align, cell_width, fit, wrap


@pytest.mark.parametrize(
    ("text", "width", "align", "expected"),
    [
        ("ab", 4, "left", "ab  "),
        ("ab", 4, "right", "  ab"),
        ("abcdef", 4, "left", "abc…"),
        ("日本語", 4, "left", "日… "),
        ("日本", 4, "left", "日本"),
        ("abc", 0, "left", ""),
        ("abc", 1, "left", "…"),
    ],
)
def test_fit(text: str, width: int, align: Align, expected: str) -> None:
    assert fit(text, width, align) == expected


@given(st.text(), st.integers(0, 30))
def test_fit_is_exact(text: str, width: int) -> None:
    assert cell_width(fit(text, width)) == width


def test_wrap_indents_what_follows() -> None:
    assert wrap("one two three", 9, " ", "   ") == [" one two", "   three"]
    assert wrap("one two", 9, " ", "   ") == [" one two"]
