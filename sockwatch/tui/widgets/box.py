"""The lower part of a screen that lies over another one."""

from __future__ import annotations

from typing import Final

from textual.containers import Vertical
from textual.widget import Widget

from sockwatch.tui.widgets.lines import Line
from sockwatch.tui.widgets.scroll_lines import ScrollLines
from sockwatch.view.fit import fit

_BORDER: Final = 1


class Box(Vertical):
    """Holds a list, which is as high as its lines where there is room, and what goes below it."""

    def fit(self, lines: ScrollLines) -> None:
        """Give the list its height."""
        below = sum(_height(each) for each in self.children if each is not lines)
        room = self.app.size.height - _BORDER - below
        height = max(1, min(lines.pinned + max(1, lines.total), room))
        if _height(lines) != height:
            lines.styles.height = height


def _height(of: Widget) -> int:
    return int(of.styles.height.value) if of.display and of.styles.height is not None else 0


class BoxedLines(ScrollLines):
    """Lines in a Box, below a title that stays."""

    pinned = 1

    def __init__(self) -> None:
        super().__init__()
        self.title = ""

    def fit(self) -> None:
        """Take the height that the lines need now."""
        assert isinstance(self.parent, Box)
        self.parent.fit(self)

    def head(self, _y: int) -> Line:
        text = fit(f" {self.title}", self.size.width, ellipsis=self.symbols.ellipsis)
        return ((text, "-title"),)

    def on_resize(self) -> None:
        self.fit()
        super().on_resize()
