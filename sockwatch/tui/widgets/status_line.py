"""The line under the table: where the cursor is, what is filtered, and what went wrong."""

from __future__ import annotations

from sockwatch.tui.widgets.lines import Line, LineWidget
from sockwatch.view.fit import cell_width, fit


class StatusLine(LineWidget):
    """An error or a notice replaces the rest."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self._left = ""
        self._right = ""
        self._notice = ""
        self._error = ""
        self._waiting = ""

    def show(self, left: str, right: str = "") -> None:
        self._left, self._right = left, right
        self.redraw()

    def show_notice(self, text: str) -> None:
        self._notice = text
        self.redraw()

    def show_error(self, text: str) -> None:
        self._error = text
        self.redraw()

    def show_waiting(self, text: str) -> None:
        """Show it in place of what is on the right; nothing for an empty one."""
        self._waiting = text
        self.redraw()

    def line(self, _y: int) -> Line:
        width = self.size.width
        if self._error or self._notice:
            text = f" ! {self._error}" if self._error else f" {self._notice}"
            cut = fit(text, width, ellipsis=self.symbols.ellipsis)
            return ((cut, "-bad" if self._error else "-good"),)
        right = f" {self._waiting or self._right} "
        if cell_width(right) > width // 2:
            right = ""
        left = fit(f" {self._left}", width - cell_width(right), ellipsis=self.symbols.ellipsis)
        return ((left, "-dim"), (right, "-key" if self._waiting else "-dim"))
