"""Plain lines about the port under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sockwatch.tui.widgets.lines import Line, LineWidget
from sockwatch.view.fit import fit, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence


class Panel(LineWidget):
    """The first line is the title; long lines are wrapped."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self._lines: Sequence[str] = ()

    def show(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self.redraw()

    def line(self, y: int) -> Line:
        width = self.size.width
        wrapped = [
            (piece, "" if place else "-title")
            for place, line in enumerate(self._lines)
            for piece in wrap(line, width, "   " if place else " ", "     ")
        ]
        if y >= len(wrapped):
            return ()
        text, style = wrapped[y]
        return ((fit(text, width, ellipsis=self.symbols.ellipsis), style),)
