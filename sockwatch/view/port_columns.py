"""The one field table of the port list: header, sort menu, help and docs come from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, TypeVar

from sockwatch.view import cells
from sockwatch.view.fit import Align, cell_width

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sockwatch.model import Port

Row = TypeVar("Row")
MARGIN = 1
GAP = 1


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """A field of a row: of a port, say. `cell` and `sort_key` get the row and the snapshot's time.

    `width` is enough at 80 columns; where there is more, it grows up to `widest` in proportion
    to `flex`. `short` replaces a cell that does not fit. `at` is the least screen width that
    shows the column.
    """

    key: str
    title: str
    width: int
    help: str
    cell: Callable[[Row, float], str]
    sort_key: Callable[[Row, float], cells.SortKey]
    at: int = 80
    align: Align = "left"
    flex: int = 0
    widest: int = 0
    short: Callable[[Row, float], str] | None = None
    largest_first: bool = False

    def text(self, row: Row, now: float) -> str:
        """The cell's text for `width`; longer text is left to be cut where it is drawn."""
        text = self.cell(row, now)
        if self.short is not None and cell_width(text) > self.width:
            return self.short(row, now)
        return text


COLUMNS: tuple[Column[Port], ...] = (
    Column("proto", "PROTO", 5, "tcp or udp", cells.proto, cells.sort_proto, at=0),
    Column(
        "address",
        "ADDRESS",
        15,
        "Local address; * takes IPv6 and IPv4, [::] IPv6 alone, +2 says two more",
        cells.address,
        cells.sort_address,
        at=42,
        flex=2,
        widest=42,
    ),
    Column(
        "port",
        "PORT",
        5,
        "Port number",
        cells.number,
        cells.sort_number,
        at=0,
        align="right",
    ),
    Column(
        "queue",
        "QUEUE",
        7,
        "Accept queue of the fullest listener, now/limit; bound: has a port, does not listen",
        cells.queue,
        cells.sort_queue,
        at=74,
        flex=1,
        widest=11,
        short=cells.short_queue,
        largest_first=True,
    ),
    Column(
        "reuse",
        "REUSE",
        5,
        "A SO_REUSEADDR, P SO_REUSEPORT, - not set, ? unknown, x4 four alike, ! they differ in "
        "flags, program, user or start, * a listener with neither: tomorrow's failed restart",
        cells.reuse,
        cells.sort_reuse,
        at=56,
        flex=1,
        widest=7,
        short=cells.short_reuse,
    ),
    Column(
        "est",
        "EST",
        4,
        "Connections in ESTABLISHED",
        cells.established,
        cells.sort_established,
        at=66,
        align="right",
        flex=1,
        widest=6,
        short=cells.short_established,
        largest_first=True,
    ),
    Column(
        "tw",
        "TW",
        4,
        "Sockets in TIME_WAIT",
        cells.time_wait,
        cells.sort_time_wait,
        at=61,
        align="right",
        flex=1,
        widest=6,
        short=cells.short_time_wait,
        largest_first=True,
    ),
    Column(
        "other",
        "OTHER",
        5,
        "Sockets in any other state, CLOSE_WAIT for example",
        cells.other,
        cells.sort_other,
        align="right",
        flex=1,
        widest=6,
        short=cells.short_other,
        largest_first=True,
    ),
    Column(
        "pid", "PID", 7, "First holder, parents before children", cells.pid, cells.sort_pid, at=50
    ),
    Column(
        "process",
        "PROCESS",
        13,
        "Its name, +3 says three more processes hold the port; ? is a holder not visible",
        cells.process,
        cells.sort_process,
        at=0,
        flex=2,
        widest=24,
    ),
    Column(
        "user",
        "USER",
        8,
        "User of the first holder, else the owner of the socket",
        cells.user,
        cells.sort_user,
        at=100,
        flex=1,
        widest=16,
    ),
    Column(
        "unit",
        "UNIT",
        14,
        "systemd unit or container of the first holder",
        cells.unit,
        cells.sort_unit,
        at=120,
        flex=2,
        widest=28,
    ),
    Column(
        "age",
        "AGE",
        4,
        "Since when the oldest holder runs",
        cells.age,
        cells.sort_age,
        at=120,
        align="right",
        largest_first=True,
    ),
    Column(
        "command",
        "COMMAND",
        16,
        "Command line of the first holder",
        cells.command,
        cells.sort_command,
        at=160,
        flex=4,
        widest=1024,
    ),
)
BY_KEY = {column.key: column for column in COLUMNS}


@lru_cache(maxsize=8)
def columns_for(width: int) -> tuple[Column[Port], ...]:
    """The columns of a screen of `width` cells, laid out."""
    return layout(visible_columns(width), width)


def visible_columns(width: int) -> tuple[Column[Port], ...]:
    """The columns that a screen of `width` cells shows."""
    return tuple(column for column in COLUMNS if column.at <= width)


def layout(columns: Sequence[Column[Row]], width: int) -> tuple[Column[Row], ...]:
    """`columns` with their widths set so that a line (margin, cells, gaps) takes `width`."""
    widths = [column.width for column in columns]
    spare = width - MARGIN - GAP * (len(columns) - 1) - sum(widths)
    if spare < 0:
        _shrink(columns, widths, -spare)
    else:
        _grow(columns, widths, spare)
    return tuple(replace(c, width=w) for c, w in zip(columns, widths, strict=True))


def _shrink(columns: Sequence[Column[Row]], widths: list[int], excess: int) -> None:
    for index in reversed(range(len(columns))):
        if columns[index].flex:
            cut = min(excess, widths[index] - 1)
            widths[index] -= cut
            excess -= cut


def _grow(columns: Sequence[Column[Row]], widths: list[int], spare: int) -> None:
    growing = [i for i, column in enumerate(columns) if column.widest > widths[i]]
    while spare > 0 and growing:
        for index in growing:
            more = min(spare, columns[index].flex, columns[index].widest - widths[index])
            widths[index] += more
            spare -= more
        growing = [i for i in growing if columns[i].widest > widths[i]]
    if spare > 0:
        for index in reversed(range(len(columns))):
            if columns[index].flex:
                widths[index] += spare
                break
