"""Lines of fixed text: the help."""

from __future__ import annotations

from collections.abc import Sequence

from sockwatch.tui.widgets.lines import Line
from sockwatch.tui.widgets.scroll_lines import ScrollLines
from sockwatch.view.fit import fit, wrap


class TextLines(ScrollLines):
    """Each line is a key part and a text; a line without text is a heading. No cursor is drawn."""

    def __init__(self, lines: Sequence[tuple[str, str]], key_width: int) -> None:
        super().__init__()
        self._lines = lines
        self._key_width = key_width
        self._wrapped: list[tuple[str, str]] = []

    def on_resize(self) -> None:
        room = max(1, self.size.width - self._key_width - 3)
        self._wrapped = [
            (key if place == 0 else "", piece)
            for key, text in self._lines
            for place, piece in enumerate(wrap(text, room, "", ""))
        ]

    @property
    def total(self) -> int:
        return len(self._wrapped)

    def item(self, index: int, *, selected: bool) -> Line:  # noqa: ARG002 - no cursor here
        key, text = self._wrapped[index]
        if not text:
            return ((f" {key}", "-title"),)
        rest = self.size.width - self._key_width - 2
        return (
            (f" {fit(key, self._key_width)} ", "-key"),
            (fit(text, rest, ellipsis=self.symbols.ellipsis), ""),
        )

    def move(self, by: int) -> None:
        self.top += by
        self.clamp()
        self.cursor = self.top
        self.redraw()

    def page(self, by: float) -> None:
        self.move(round(by * self.page_size))

    def edge(self, side: int) -> None:
        self.move(side * self.total)
