"""The table of ports as text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sockwatch.model import Port, Snapshot
from sockwatch.units import duration
from sockwatch.view.clients import ClientRow
from sockwatch.view.column import GAP, MARGIN, NOTHING, Column
from sockwatch.view.fit import Align, cell_width, fit
from sockwatch.view.look import OLD_S
from sockwatch.view.port_columns import RestartCell, port_columns_for, with_restart
from sockwatch.view.port_list import Selection, client_rows
from sockwatch.view.restarts import Restarts

MOST_RESTARTS: Final = 200
NETNS: Final = "NETNS"
WIDEST_NETNS: Final = 20  # cells, on a terminal


class Section(NamedTuple):
    """The rows of one network namespace."""

    snapshot: Snapshot
    selected: Selection

    @property
    def ports(self) -> Sequence[Port]:
        """Those that have a row each."""
        return self.selected.ports

    @property
    def clients(self) -> Iterable[ClientRow]:
        """The rows of client ports, one for each protocol."""
        return client_rows(self.selected, self.snapshot).values()

    @property
    def time(self) -> float:
        """When it was looked at, in seconds since the epoch."""
        return self.snapshot.time


def ports_table(sections: Sequence[Section], now: float | None = None) -> str:
    """Lines as wide as the terminal; into a file or pipe, as wide as what they hold.

    A row for each port, by its number, then those of the client ports. With `now`, each says of
    which network namespace it is, and how long before it was looked at. Without RESTART for more
    than MOST_RESTARTS ports: each takes up to a millisecond.
    """
    sections = [section for section in sections if any(section.selected)] or sections[:1]
    rows = [(section, port) for section in sections for port in section.ports]
    rows.sort(key=lambda row: (row[1].number, row[1].protocol))
    width = _terminal_width()
    places = [] if now is None else _places(sections, now, width)
    before = f"{NETNS:<{cell_width(places[0])}}" if places else ""
    if places and width is not None:
        width = max(1, width - cell_width(before) - GAP)
    restart = _restart(sections) if len(rows) <= MOST_RESTARTS else None
    columns = with_restart(restart) if width is None else port_columns_for(width, restart)
    cells = [_cells(column, rows, is_cut=width is not None) for column in columns]
    lines = [" " * MARGIN + " ".join(row) for row in zip(*cells, strict=True)]
    number, protocol, *_ = (cell_width(column[0]) for column in cells)
    owners = [section for section, _ in rows]
    for section in sections:
        for row in section.clients:
            start = f"{fit('', MARGIN)}{fit(NOTHING, number, 'right')} "
            start += f"{fit(row.protocol, protocol)} "
            lines.append(start + row.text(None if width is None else width - cell_width(start)))
            owners.append(section)
    if places:
        place_of = dict(zip(map(id, sections), places, strict=True))
        firsts = [before, *(place_of[id(section)] for section in owners)]
        lines = [f"{' ' * MARGIN}{first}{line}" for first, line in zip(firsts, lines, strict=True)]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _restart(sections: Iterable[Section]) -> RestartCell:
    """Each row is judged by what its own namespace has."""
    by_port = {
        id(port): restarts.cell
        for section in sections
        for restarts in (Restarts(section.snapshot),)
        for port in section.ports
    }
    return lambda port: by_port[id(port)](port)


def _places(sections: Sequence[Section], now: float, width: int | None) -> list[str]:
    """``blue``, ``web2 5s``: all as wide as the widest."""
    texts = []
    for section in sections:
        age_s = now - section.time
        name = section.snapshot.netns.short_name
        texts.append(f"{name} {duration(age_s)}" if age_s > OLD_S else name)
    widest = max(map(cell_width, (NETNS, *texts)))
    return [fit(text, widest if width is None else min(widest, WIDEST_NETNS)) for text in texts]


def _terminal_width() -> int | None:
    """None for a file or a pipe."""
    if not sys.stdout.isatty():
        return None
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        return 80


def _cells(
    column: Column[Port], rows: Sequence[tuple[Section, Port]], *, is_cut: bool
) -> list[str]:
    """The title and the cells of a column; as wide as the widest unless they are cut."""
    if is_cut:
        title = fit(column.title, column.width, column.align)
        return [title, *(column.fitted(port, section.time) for section, port in rows)]
    return _padded([column.title, *(column.text(port, s.time) for s, port in rows)], column.align)


def _padded(texts: Sequence[str], align: Align) -> list[str]:
    width = max(map(cell_width, texts))
    return [fit(text, width, align) for text in texts]
