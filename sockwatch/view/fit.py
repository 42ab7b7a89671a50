"""Make text exactly as wide as a column, counted in terminal cells.

A cell is what rich takes it for, since rich's segments are what the screens are drawn with.
"""

from __future__ import annotations

import textwrap
from typing import Literal

from rich.cells import cell_len, set_cell_size

Align = Literal["left", "right"]
ELLIPSIS = "…"


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
    return textwrap.wrap(
        text, room, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )
