"""The title over a list; a sign before it says that the keys go there."""

from __future__ import annotations

from sockwatch.tui.widgets.lines import Line, LineWidget
from sockwatch.view.fit import cell_width, fit


class PaneTitle(LineWidget):
    """A title, and a text at the right end if there is room for both."""

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self._title = title
        self._right = ""
        self._in_focus = False

    def show(self, title: str, right: str = "", *, in_focus: bool) -> None:
        self._title, self._right, self._in_focus = title, right, in_focus
        self.redraw()

    def line(self, _y: int) -> Line:
        sign = self.symbols.cursor if self._in_focus else " "
        width = self.size.width
        right = f" {self._right} " if self._right else ""
        if cell_width(self._title) + cell_width(right) + 1 > width:
            right = ""
        title = fit(sign + self._title, width - cell_width(right), ellipsis=self.symbols.ellipsis)
        style = "-sort" if self._in_focus else "-head"
        return ((title, style), (right, style))
