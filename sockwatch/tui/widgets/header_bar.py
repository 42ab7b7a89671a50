"""The top line: which host, how many ports, and how recent the snapshot is."""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

from sockwatch.tui.commands import BLIND_SPOTS
from sockwatch.tui.widgets.lines import Line, LineWidget
from sockwatch.units import plural, short_count
from sockwatch.view.clients import is_client
from sockwatch.view.fit import cell_width, fit
from sockwatch.view.look import Look

_HISTORY = 40
_GAP = 2


class HeaderPiece(NamedTuple):
    """A piece of text in the header, with its style."""

    text: str
    style: str
    rank: int  # without room for all, the highest is dropped first
    gap: int = _GAP  # before it


class HeaderBar(LineWidget):
    """Drops the least important pieces where they do not fit."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self._look: Look | None = None
        self._counts = (0, 0, 0)
        self._waiting: deque[int] = deque(maxlen=_HISTORY)
        self._pace = ("", "-dim")
        self._subject = ""

    def show(self, look: Look, subject: str = "") -> None:
        """Show the counts of all ports; with a `subject`, show that port and no counts."""
        self._look = look
        self._subject = subject
        states: Counter[str] = Counter()
        ports = 0
        for snapshot, _ in look.parts:
            for port in snapshot.ports:
                ports += not is_client(port, snapshot)
                if port.protocol == "tcp":
                    for state, count in port.states.items():
                        states[state] += count
            for group in snapshot.clients.groups:
                states[group.state] += group.count
        waiting = states["TIME_WAIT"]
        self._counts = (ports, states["ESTABLISHED"], waiting)
        self._waiting.append(waiting)
        self.redraw()

    def show_pace(self, text: str, style: str) -> None:
        """Show how often the host is polled, or why the snapshot is not recent."""
        if self._pace != (text, style):
            self._pace = (text, style)
            self.redraw()

    def forget(self) -> None:
        """Show no snapshot: what the last one showed is gone."""
        self._look = None
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
        if self._look is None:
            pieces.append(HeaderPiece("loading", "-dim", 1))
            return pieces
        own = self._look.own
        pieces += [
            HeaderPiece(fit(own.host, min(24, cell_width(own.host))), "", 2),
            HeaderPiece(own.patch_level or own.kernel.partition("-")[0], "-dim", 9),
            self._place(self._look),
        ]
        return pieces

    def _place(self, look: Look) -> HeaderPiece:
        if look.is_wide:
            return HeaderPiece(f"all namespaces ({len(look.parts)})", "", 1)
        netns = look.own.netns
        return HeaderPiece(netns.name or netns.label, "-dim", 7)

    def _gaps(self) -> list[HeaderPiece]:
        count = 0 if self._look is None else len(self._look.gaps)
        text = f"{plural(count, 'blind spot')} ({BLIND_SPOTS.keys[0]})"
        return [HeaderPiece(text, "-warn", 2)] if count else []

    def _right(self) -> list[HeaderPiece]:
        pace = HeaderPiece(*self._pace, 1)
        if self._look is None:
            return [pace]
        if self._subject:
            return [*self._gaps(), pace]
        ports, established, waiting = self._counts
        spark = self._sparkline()
        return [
            HeaderPiece(plural(ports, "port"), "", 5),
            HeaderPiece(f"est {short_count(established)}", "", 8),
            HeaderPiece(f"tw {short_count(waiting)}", "", 4),
            *([HeaderPiece(spark, "-good", 6, gap=1)] if spark else ()),
            *self._gaps(),
            pace,
        ]

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
    return sum(cell_width(piece.text) for piece in pieces) + sum(piece.gap for piece in pieces[1:])


def _spaced(pieces: list[HeaderPiece]) -> list[tuple[str, str]]:
    spaced: list[tuple[str, str]] = []
    for place, piece in enumerate(pieces):
        if place:
            alike = pieces[place - 1].style == piece.style
            spaced.append((" " * piece.gap, piece.style if alike else ""))
        spaced.append((piece.text, piece.style))
    return spaced
