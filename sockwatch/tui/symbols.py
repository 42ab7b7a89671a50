"""The signs the screens are drawn with."""

from __future__ import annotations

from dataclasses import dataclass

from sockwatch.view.details import ASCII_TREE, UNICODE_TREE, TreeSigns
from sockwatch.view.fit import cell_width, fit


@dataclass(frozen=True, slots=True)
class Symbols:
    """`ascii` keeps foreign text to ASCII as well."""

    ascii: bool = False
    cursor: str = "▌"
    new: str = "+"
    gone: str = "-"
    ellipsis: str = "…"
    ascending: str = "▲"
    descending: str = "▼"
    spark: str = "▁▂▃▄▅▆▇█"
    tree: TreeSigns = UNICODE_TREE

    def text(self, text: str) -> str:
        """`text` as it may be drawn, in as many cells."""
        if not self.ascii or text.isascii():
            return text
        signs = (
            c if c.isascii() else "?" * cell_width(c) for c in text.replace("…", self.ellipsis)
        )
        return fit("".join(signs), cell_width(text), ellipsis="")


UNICODE = Symbols()
ASCII = Symbols(
    ascii=True,
    cursor=">",
    ellipsis="~",
    ascending="^",
    descending="v",
    spark="_.:-=+*#",
    tree=ASCII_TREE,
)


def draws_unicode(encoding: str) -> bool:
    """Whether a terminal of this encoding shows what UNICODE is drawn with."""
    try:
        "".join((UNICODE.cursor, UNICODE.ellipsis, UNICODE.spark, *UNICODE_TREE)).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
