"""The top line of the failures: whether they are watched, and at what cost."""

from __future__ import annotations

from sockwatch.tui.widgets.header_bar import HeaderBar, HeaderPiece


class FailuresHeader(HeaderBar):
    """Nothing is polled here, so only a pause is shown of the pace."""

    def __init__(self) -> None:
        super().__init__()
        self._state = ""

    def show_state(self, text: str) -> None:
        if self._state != text:
            self._state = text
            self.redraw()

    def _left(self) -> list[HeaderPiece]:
        return [
            HeaderPiece("sockwatch", "-title", 3),
            HeaderPiece("failures", "-title", 0),
            HeaderPiece(self._state, "-dim", 2),
        ]

    def _right(self) -> list[HeaderPiece]:
        text, style = self._pace
        return [HeaderPiece(text, style, 1)] if text.startswith("PAUSED") else []
