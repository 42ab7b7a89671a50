"""Lines of running text that scroll; there is no cursor."""

from __future__ import annotations

from collections.abc import Sequence

from sockwatch.tui.widgets.box import BoxedLines
from sockwatch.tui.widgets.lines import KIND_STYLES, Line
from sockwatch.view.fit import fit
from sockwatch.view.lines import Line as TextLine
from sockwatch.view.lines import wrapped


class ScrollText(BoxedLines):
    """Wraps its lines. While `follows`, the last line is in view."""

    follows = False

    def __init__(self) -> None:
        super().__init__()
        self._lines: Sequence[TextLine] = ()
        self._wrapped: list[TextLine] = []

    def show(self, title: str, lines: Sequence[TextLine]) -> None:
        self.title, self._lines = title, lines
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        width = (self.size.width or self.app.size.width) - 2  # before the first layout it has none
        self._wrapped = list(wrapped(self._lines, width))
        self.fit()
        if self.follows:
            self.top = self.total
        self.clamp()
        self.redraw()

    @property
    def place(self) -> str:
        """Which lines are in view; empty where all are."""
        if self.total <= self.page_size:
            return ""
        return f"lines {self.top + 1}-{self.top + self.page_size} of {self.total}, PgDn"

    @property
    def total(self) -> int:
        return len(self._wrapped)

    def item(self, index: int, *, selected: bool) -> Line:  # noqa: ARG002 - no cursor here
        line = self._wrapped[index]
        text = fit(f" {line}", self.size.width, ellipsis=self.symbols.ellipsis)
        return ((text, KIND_STYLES.get(line.kind, "")),)

    def move(self, by: int) -> None:
        self.follows = False
        self.top += by
        self.clamp()
        self.redraw()
        self.post_message(self.Moved(self))

    def page(self, by: float) -> None:
        self.move(round(by * self.page_size))

    def edge(self, side: int) -> None:
        self.move(side * self.total)
