"""Plain lines about the port under the cursor."""

from __future__ import annotations

from collections.abc import Sequence

from sockwatch.tui.widgets.lines import Line, LineWidget
from sockwatch.view.fit import fit, wrap


class Panel(LineWidget):
    """The first line is the title; long lines are wrapped. One cut by the end has an ellipsis."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self._lines: Sequence[str] = ()

    def show(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self.redraw()

    def line(self, y: int) -> Line:
        width = self.size.width
        pieces = [
            (piece, number)
            for number, line in enumerate(self._lines)
            for piece in wrap(line, width, "   " if number else " ", "     ")
        ]
        if y >= len(pieces):
            return ()
        text, number = pieces[y]
        ellipsis = self.symbols.ellipsis
        if y == self.size.height - 1 and pieces[y + 1 : y + 2] and pieces[y + 1][1] == number:
            text = f"{text} {ellipsis}"
        return ((fit(text, width, ellipsis=ellipsis), "" if number else "-title"),)
