"""Make text exactly as wide as a column. Terminals give some characters two cells, some none."""

from __future__ import annotations

import textwrap
import unicodedata
from typing import Literal

Align = Literal["left", "right"]
ELLIPSIS = "…"


def cell_width(text: str) -> int:
    """The number of terminal cells `text` takes."""
    return len(text) if text.isascii() else sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, width: int, align: Align = "left", ellipsis: str = ELLIPSIS) -> str:
    """`text` padded or cut to `width` cells; a cut is shown by `ellipsis`."""
    if width <= 0:
        return ""
    missing = width - cell_width(text)
    if missing < 0:
        text = _cut(text, width, ellipsis)
        missing = width - cell_width(text)
    return " " * missing + text if align == "right" else text + " " * missing


def _cut(text: str, width: int, ellipsis: str) -> str:
    room = width - cell_width(ellipsis)
    if room < 0:
        text, room, ellipsis = ellipsis, width, ""
    taken = 0
    for index, character in enumerate(text):
        taken += _character_width(character)
        if taken > room:
            return text[:index] + ellipsis
    return text + ellipsis


def wrap(text: str, width: int, first: str, rest: str) -> list[str]:
    """`text` in lines of `width`, the first one indented by `first`, the others by `rest`."""
    if len(first) + cell_width(text) <= width:
        return [first + text]
    room = max(width, len(rest) + 1)
    return textwrap.wrap(text, room, initial_indent=first, subsequent_indent=rest)
