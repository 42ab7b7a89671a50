"""Wrapped lines with a cursor: the steps, and what explains them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sockwatch.tui.widgets.lines import KIND_STYLES
from sockwatch.tui.widgets.lines import Line as DrawnLine
from sockwatch.tui.widgets.scroll_lines import ScrollLines
from sockwatch.view.fit import fit
from sockwatch.view.lines import Line, wrapped


class ShownLine(NamedTuple):
    """A line, the style it is drawn in, and the index of the step it belongs to, if any."""

    text: str
    style: str = ""
    step: int | None = None


def shown(lines: Iterable[Line], width: int, step: int | None = None) -> Iterator[ShownLine]:
    """The lines wrapped to `width` cells."""
    for line in wrapped(lines, width):
        yield ShownLine(str(line), KIND_STYLES.get(line.kind, ""), step)


class ShownLines(ScrollLines):
    """The cursor stays where it is; while `following`, until it is moved away, at the end."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self._lines: Sequence[ShownLine] = ()
        self.following = False

    def show(self, lines: Sequence[ShownLine]) -> None:
        self._lines = lines
        last = self.total - 1
        self.cursor = max(0, last if self.following else min(self.cursor, last))
        self.show_cursor()
        self.redraw()

    @property
    def text_width(self) -> int:
        return max(1, self.size.width - 1)

    def selected(self) -> None:
        self.following = self.cursor >= self.total - 1
        super().selected()

    @property
    def total(self) -> int:
        return len(self._lines)

    @property
    def shown(self) -> ShownLine | None:
        """The line under the cursor."""
        return self._lines[self.cursor] if self.cursor < self.total else None

    def row_text(self) -> str:
        return self.shown.text.strip() if self.shown is not None else ""

    def item(self, index: int, *, selected: bool) -> DrawnLine:
        text, style, _ = self._lines[index]
        base = self.base_style(selected=selected)
        sign = self.symbols.cursor if selected and self.in_focus else " "
        cut = fit(text, self.text_width, ellipsis=self.symbols.ellipsis)
        return ((sign, base), (cut, base or style))
