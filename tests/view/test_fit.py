from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment

from sockwatch.text import clean
from sockwatch.view.fit import Align, cell_width, fit, wrap


@pytest.mark.parametrize(
    ("text", "width", "align", "expected"),
    [
        ("ab", 4, "left", "ab  "),
        ("ab", 4, "right", "  ab"),
        ("abcdef", 4, "left", "abc…"),
        ("日本語", 4, "left", "日 …"),
        ("日本", 4, "left", "日本"),
        ("abc", 0, "left", ""),
        ("abc", 1, "left", "…"),
    ],
)
def test_fit(text: str, width: int, align: Align, expected: str) -> None:
    assert fit(text, width, align) == expected


@pytest.mark.parametrize(
    ("text", "mark", "width", "expected"),
    [
        ("nginx", " +3", 13, "nginx +3     "),
        ("postgres-worker", " +3", 13, "postgres-… +3"),
        ("EADDRNOTAVAIL", "!", 13, "EADDRNOTAVA…!"),
        ("日本語日本語", " +3", 9, "日本 … +3"),
        ("nginx", " +3", 4, "… +3"),
        ("nginx", " +3", 3, "ng…"),
        ("nginx", "", 3, "ng…"),
    ],
)
def test_a_mark_stays_where_the_text_is_cut(
    text: str, mark: str, width: int, expected: str
) -> None:
    assert fit(text, width, mark=mark) == expected


@given(st.text().map(clean), st.text(max_size=4).map(clean), st.integers(0, 30))
def test_fit_is_exact(text: str, mark: str, width: int) -> None:
    assert cell_width(fit(text, width, mark=mark)) == width


FAMILY = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
HEART = "\N{HEAVY BLACK HEART}\N{VARIATION SELECTOR-16}"


@pytest.mark.parametrize(
    ("text", "width"),
    [
        (FAMILY, 2),
        (HEART, 2),
        ("日本", 4),
        ("e\N{COMBINING ACUTE ACCENT}", 1),
        # Python's unicodedata alone tells other widths of these.
        ("\N{DEVANAGARI LETTER KA}\N{DEVANAGARI VOWEL SIGN AA}", 1),
        ("\N{HANGUL CHOSEONG KIYEOK}\N{HANGUL JUNGSEONG A}", 2),
    ],
)
def test_a_sequence_takes_the_cells_that_it_is_drawn_in(text: str, width: int) -> None:
    assert cell_width(text) == Segment(text).cell_length == width


def test_a_cell_is_what_the_screens_take_it_for() -> None:
    """For every printable code point."""
    differ = [
        hex(number)
        for number in range(sys.maxunicode + 1)
        if chr(number).isprintable() and cell_width(chr(number)) != Segment(chr(number)).cell_length
    ]
    assert differ == []


def test_wrap_indents_what_follows() -> None:
    assert wrap("one two three", 9, " ", "   ") == [" one two", "   three"]
    assert wrap("one two", 9, " ", "   ") == [" one two"]


MIXED = st.text("ab 中文，。（）3_-", max_size=60)


@given(MIXED, st.integers(4, 40), st.sampled_from(["", "  "]))
def test_wide_text_is_wrapped_by_cells_and_keeps_its_characters(
    text: str, width: int, rest: str
) -> None:
    lines = wrap(text, width, "", rest)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert max(map(cell_width, lines), default=0) <= width


def test_no_line_begins_with_a_closing_sign() -> None:
    text = "内核要求两个套接字都设置该选项，而其中至少一个没有（SO_REUSEADDR）。"
    for width in range(18, 60):
        for line in wrap(text, width, "", ""):
            assert line[0] not in "，。）", (width, line)
            assert line[-1] != "（", (width, line)
    assert wrap("端口上的套接字 LISTEN", 16, "", "  ") == ["端口上的套接字", "  LISTEN"]
