"""The top line: which host, how many sockets, and how recent the snapshot is."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from sockwatch.model import Snapshot
from sockwatch.tui.widgets.lines import Line, LineWidget
from sockwatch.units import plural, short_count
from sockwatch.view.fit import cell_width, fit

_HISTORY = 40
_GAP = 2


class HeaderPiece(NamedTuple):
    """A piece of text in the header, with its style."""

    text: str
    style: str
    rank: int  # without room for all, the highest is dropped first


class HeaderBar(LineWidget):
    """Drops the least important pieces where they do not fit."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self._snapshot: Snapshot | None = None
        self._counts = (0, 0, 0)
        self._waiting: deque[int] = deque(maxlen=_HISTORY)
        self._pace = ("", "-dim")
        self._subject = ""

    def show(self, snapshot: Snapshot, subject: str = "") -> None:
        """Show the counts of all ports; with a `subject`, show that port and no counts."""
        self._snapshot = snapshot
        self._subject = subject
        states: dict[str, int] = {}
        for port in snapshot.ports:
            if port.protocol == "tcp":
                for state, count in port.states.items():
                    states[state] = states.get(state, 0) + count
        waiting = states.get("TIME_WAIT", 0)
        self._counts = (sum(states.values()), states.get("ESTABLISHED", 0), waiting)
        self._waiting.append(waiting)
        self.redraw()

    def show_pace(self, text: str, style: str) -> None:
        """Show how often the host is polled, or why the snapshot is not recent."""
        if self._pace != (text, style):
            self._pace = (text, style)
            self.redraw()

    def forget(self) -> None:
        """Show no snapshot: what the last one showed is gone."""
        self._snapshot = None
        self._waiting.clear()
        self.redraw()

    def line(self, _y: int) -> Line:
        left, right = self._left(), self._right()
        width = self.size.width - 2
        while _width(left) + _width(right) + _GAP > width and len(left) + len(right) > 2:
            worst = max((*left, *right), key=lambda piece: piece.rank)
            (left if worst in left else right).remove(worst)
        space = max(0, width - _width(left) - _width(right))
        pieces = [(" ", "")]
        pieces += [(text, style) for text, style in _spaced(left)]
        pieces.append((" " * space, ""))
        pieces += [(text, style) for text, style in _spaced(right)]
        pieces.append((" ", ""))
        return tuple(pieces)

    def _left(self) -> list[HeaderPiece]:
        pieces = [HeaderPiece("sockwatch", "-title", 3 if self._subject else 0)]
        if self._subject:
            pieces.append(HeaderPiece(self._subject, "-title", 0))
        if self._snapshot is None:
            pieces.append(HeaderPiece("loading", "-dim", 1))
            return pieces
        netns = self._snapshot.netns
        pieces += [
            HeaderPiece(fit(self._snapshot.host, min(24, cell_width(self._snapshot.host))), "", 2),
            HeaderPiece(self._snapshot.kernel.partition("-")[0], "-dim", 9),
            HeaderPiece(f"netns {netns.name or netns.inode}", "-dim", 7),
        ]
        return [*pieces, *self._gaps()]

    def _gaps(self) -> list[HeaderPiece]:
        count = 0 if self._snapshot is None else len(self._snapshot.gaps)
        return [HeaderPiece(plural(count, "gap"), "-warn", 6)] if count else []

    def _right(self) -> list[HeaderPiece]:
        pace = HeaderPiece(*self._pace, 1)
        if self._snapshot is None:
            return [pace]
        if self._subject:
            return [pace]
        tcp, established, waiting = map(short_count, self._counts)
        pieces = [
            HeaderPiece(f"tcp {tcp}", "", 5),
            HeaderPiece(f"est {established}", "", 4),
            HeaderPiece(f"tw {waiting}", "", 3),
        ]
        spark = self._sparkline()
        if spark:
            pieces.append(HeaderPiece(spark, "-good", 8))
        return [*pieces, pace]

    def _sparkline(self) -> str:
        """TIME_WAITs in the last snapshots; empty if their number did not change."""
        shown = list(self._waiting)[-(4 if self.size.width < 100 else 12) :]
        highest = max(shown, default=0)
        if highest == min(shown, default=0):
            return ""
        signs = self.symbols.spark
        bars = [signs[value * (len(signs) - 1) // highest] for value in shown]
        return "".join(bars)


def _width(pieces: list[HeaderPiece]) -> int:
    return sum(cell_width(piece.text) for piece in pieces) + _GAP * max(0, len(pieces) - 1)


def _spaced(pieces: list[HeaderPiece]) -> list[tuple[str, str]]:
    spaced: list[tuple[str, str]] = []
    for place, piece in enumerate(pieces):
        if place:
            alike = pieces[place - 1].style == piece.style
            spaced.append((" " * _GAP, piece.style if alike else ""))
        spaced.append((piece.text, piece.style))
    return spaced
