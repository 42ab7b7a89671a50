"""The signs the screens are drawn with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sockwatch.view.details import ASCII_TREE, UNICODE_TREE

if TYPE_CHECKING:
    from sockwatch.view.details import TreeSigns


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
        if not self.ascii or text.isascii():
            return text
        return text.replace("…", self.ellipsis).encode("ascii", "replace").decode("ascii")


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
