"""Make text exactly as wide as a column, counted in terminal cells.

A cell is what rich takes it for, since rich's segments are what the screens are drawn with.
"""

from __future__ import annotations

import re
import textwrap
from typing import Final, Literal

from rich.cells import cell_len, set_cell_size

Align = Literal["left", "right"]
ELLIPSIS = "…"
# What a line may be broken after: a word and the spaces behind it, or a character of Chinese; no
# line begins with a closing sign, nor ends with an opening one.
_WIDE: Final = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
_OPENING: Final = "（《「『【“‘"  # noqa: RUF001 - they are Chinese
_CLOSING: Final = "，。；：、？！）》」』】”’"  # noqa: RUF001 - so are they
_PIECES: Final = re.compile(
    rf"[{_OPENING}]*(?:[^\s{_WIDE}{_OPENING}{_CLOSING}]+|[{_WIDE}])?[{_CLOSING}]*\s*"
)


def cell_width(text: str) -> int:
    """The number of terminal cells `text` takes: none, one or two a character."""
    return cell_len(text)


def fit(
    text: str, width: int, align: Align = "left", ellipsis: str = ELLIPSIS, mark: str = ""
) -> str:
    """`text` and `mark` padded or cut to `width` cells; a cut is shown by `ellipsis`.

    `text` is cut first, so that the mark stays; where it does not fit either, it is text as well.
    """
    if width <= 0:
        return ""
    missing = width - cell_width(text + mark)
    if missing >= 0:
        padding = " " * missing
        return f"{padding}{text}{mark}" if align == "right" else f"{text}{mark}{padding}"
    room = width - cell_width(ellipsis + mark)
    if room < 0 and mark:
        return fit(text + mark, width, align, ellipsis)
    if room < 0:
        return set_cell_size(ellipsis, width)
    return set_cell_size(text, room) + ellipsis + mark


def wrap(text: str, width: int, first: str, rest: str) -> list[str]:
    """`text` in lines of `width`, the first one indented by `first`, the others by `rest`."""
    if len(first) + cell_width(text) <= width:
        return [first + text]
    room = max(width, len(rest) + 1)
    if cell_width(text) != len(text):
        return _wrap_wide(text, room, first, rest)
    return textwrap.wrap(
        text, room, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )


def _wrap_wide(text: str, width: int, first: str, rest: str) -> list[str]:
    """Wrap text whose characters are not all one cell wide; Chinese breaks between characters."""
    lines = [first]
    indent = first  # of the last line
    for whole in _PIECES.findall(text):
        piece = whole
        if lines[-1] != indent and cell_width(lines[-1] + piece.rstrip()) > width:
            lines.append(rest)
            indent = rest
        if lines[-1] == indent:
            piece = piece.lstrip()
        while cell_width(lines[-1] + piece.rstrip()) > width and len(piece.rstrip()) > 1:
            fitting = max(1, _most(piece, width - cell_width(lines[-1])))
            lines[-1] += piece[:fitting]
            lines.append(rest)
            indent, piece = rest, piece[fitting:]
        lines[-1] += piece
    return [line.rstrip() for line in lines if line.strip()]


def _most(text: str, width: int) -> int:
    """How many of the first characters are at most so many cells wide."""
    return next((n for n in range(len(text), 0, -1) if cell_width(text[:n]) <= width), 0)
