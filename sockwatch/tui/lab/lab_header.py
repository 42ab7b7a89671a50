"""The top line of the lab: where its servers run, and how many bets were right."""

from __future__ import annotations

from sockwatch.tui.widgets.header_bar import HeaderBar, HeaderPiece


class LabHeader(HeaderBar):
    """Shows the network of the sandbox in place of the host's name and kernel."""

    def __init__(self) -> None:
        super().__init__()
        self._network = ""
        self._network_style = ""
        self._score = ""

    def show_network(self, text: str, style: str = "") -> None:
        self._network, self._network_style = text, style
        self.redraw()

    def show_score(self, text: str) -> None:
        """Show how many bets were right; an empty text before the first."""
        self._score = text
        self.redraw()

    def _sparkline(self) -> str:
        return ""

    def _left(self) -> list[HeaderPiece]:
        return [
            HeaderPiece("sockwatch", "-title", 3),
            HeaderPiece("lab", "-title", 0),
            HeaderPiece(self._network, self._network_style, 2),
            *([HeaderPiece(self._score, "-good", 2)] if self._score else []),
        ]
