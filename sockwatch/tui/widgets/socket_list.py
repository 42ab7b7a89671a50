"""Everything known about a port, then its sockets; only the visible lines are built."""

from __future__ import annotations

from collections.abc import Sequence

from sockwatch.bind import BindRequest
from sockwatch.model import Snapshot, Socket
from sockwatch.tui.widgets.lines import KIND_STYLES, Line
from sockwatch.tui.widgets.scroll_lines import ScrollLines
from sockwatch.units import plural
from sockwatch.view.column import Column
from sockwatch.view.details import details
from sockwatch.view.fit import fit
from sockwatch.view.lines import Line as TextLine
from sockwatch.view.socket_columns import socket_columns_for


class SocketList(ScrollLines):
    """The cursor stays on the same socket of the list when the lines above it change."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self._above: list[TextLine] = []
        self._sockets: Sequence[Socket] = ()
        self._now = 0.0

    def show(
        self,
        request: BindRequest,
        snapshot: Snapshot,
        language: str | None = None,
        *,
        is_outside: bool = False,
    ) -> None:
        """Show what is known of the port of the request, and all its sockets."""
        width, tree = self._text_width(), self.symbols.tree
        above = details(request, snapshot, width, tree, language, is_outside=is_outside)
        port = snapshot.port(request.protocol, request.port)
        sockets = (port.connections if port is not None else None) or ()
        if sockets:
            above += [TextLine("text", ""), TextLine("section", "")]
        self._replace(above, sockets, snapshot.time)

    def _text_width(self) -> int:
        # Before the first layout the widget has no size, but the screen has.
        return (self.size.width or self.app.size.width) - 1

    def _replace(self, above: list[TextLine], sockets: Sequence[Socket], now: float) -> None:
        if self._sockets and sockets and self.cursor >= len(self._above):
            shift = len(above) - len(self._above)
            self.cursor += shift
            self.top += shift
        self._above, self._sockets, self._now = above, sockets, now
        self.cursor = max(0, min(self.cursor, self.total - 1))
        self.clamp()
        self.redraw()

    @property
    def total(self) -> int:
        return len(self._above) + len(self._sockets)

    @property
    def place(self) -> str:
        """Where the cursor is among the sockets."""
        if not self._sockets:
            return ""
        number = self.cursor - len(self._above) + 1
        count = plural(len(self._sockets), "socket")
        return f"{number} of {count}" if number > 0 else count

    @property
    def columns(self) -> tuple[Column[Socket], ...]:
        return socket_columns_for(self.size.width)

    def item(self, index: int, *, selected: bool) -> Line:
        sign = self.symbols.cursor if selected else " "
        base = "-select" if selected else ""
        if index >= len(self._above):
            return (
                (sign, base),
                *self._socket(self._sockets[index - len(self._above)], base),
            )
        line = self._above[index]
        text = str(line)
        if self._sockets and index == len(self._above) - 1:
            text = " ".join(fit(c.title, c.width, c.align, "") for c in self.columns)
        cut = fit(text, self.size.width - 1, ellipsis=self.symbols.ellipsis)
        return ((sign, base), (cut, base or KIND_STYLES.get(line.kind, "")))

    def _socket(self, socket: Socket, base: str) -> Line:
        pieces: list[tuple[str, str]] = []
        for column in self.columns:
            cell = column.fitted(socket, self._now, self.symbols.ellipsis)
            pieces.append((f"{cell} ", base or ("-dim" if cell.strip() in ("-", "??") else "")))
        return tuple(pieces)

    def row_text(self) -> str:
        """The line under the cursor as text for the clipboard."""
        index = self.cursor - len(self._above)
        if index >= 0 and self._sockets:
            socket = self._sockets[index]
            return "\t".join(column.text(socket, self._now) for column in self.columns)
        return self._above[self.cursor].text.strip() if self._above else ""
