"""Plain lines about the port under the cursor."""

from __future__ import annotations

from collections.abc import Sequence

from sockwatch.tui.widgets.lines import KIND_STYLES, Line, LineWidget
from sockwatch.view.fit import fit
from sockwatch.view.lines import Line as TextLine
from sockwatch.view.lines import wrapped


class Panel(LineWidget):
    """The first line is the title; long lines are wrapped. One cut by the end has an ellipsis."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self._lines: Sequence[TextLine] = ()

    def show(self, lines: Sequence[TextLine]) -> None:
        self._lines = lines
        self.redraw()

    def show_text(self, title: str, *others: str) -> None:
        """Show sentences that are about no port."""
        self.show((TextLine("title", title), *(TextLine("text", text, 2) for text in others)))

    def line(self, y: int) -> Line:
        width = self.size.width
        pieces = [
            (piece, number)
            for number, line in enumerate(self._lines)
            for piece in wrapped((line,), width - 1)
        ]
        if y >= len(pieces):
            return ()
        piece, number = pieces[y]
        text, ellipsis = f" {piece}", self.symbols.ellipsis
        if y == self.size.height - 1 and pieces[y + 1 : y + 2] and pieces[y + 1][1] == number:
            text = f"{text} {ellipsis}"
        return ((fit(text, width, ellipsis=ellipsis), KIND_STYLES.get(piece.kind, "")),)
