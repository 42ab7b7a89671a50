"""The table of ports."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.message import Message

from sockwatch.model import Port, Protocol, Socket
from sockwatch.tui.widgets.lines import Line
from sockwatch.tui.widgets.table import Table
from sockwatch.view.column import Column
from sockwatch.view.fit import fit
from sockwatch.view.marks import Mark
from sockwatch.view.port_columns import port_columns_for
from sockwatch.view.sorting import Order

_MARK_STYLES = {"": "", "new": "-new", "gone": "-dim"}


def _unmarked(_key: tuple[str, int]) -> Mark:
    return ""


class PortTable(Table[Port]):
    """The ports, with the sort column marked in the head."""

    class HeadClicked(Message):
        """A click on a column's title."""

        def __init__(self, column: str) -> None:
            super().__init__()
            self.column = column

    class Opened(Message):
        """A click on the port that was under the cursor before."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self._mark: Callable[[tuple[str, int]], Mark] = _unmarked
        self.order = Order()
        self.following = False

    @property
    def columns(self) -> tuple[Column[Port], ...]:
        return port_columns_for(self.size.width)

    def key(self, row: Port) -> tuple[Protocol, int]:
        return row.key

    def show(
        self,
        ports: Sequence[Port],
        order: Order,
        now: float,
        mark: Callable[[tuple[str, int]], Mark] = _unmarked,
    ) -> None:
        """Show `ports`, which are in this order. While `following`, the row keeps its line."""
        self.order, self._mark = order, mark
        line = self.cursor - self.top
        on_screen = 0 <= line < self.page_size
        self.show_rows(ports, now)
        if self.following and on_screen:
            self.top = self.cursor - line
        self.clamp()
        if self._cursor_key is None:
            self.keep_row()
        self.redraw()

    def head(self, _y: int) -> Line:
        pieces: list[tuple[str, str]] = []
        pad = self.symbols.cursor if self.in_focus else " "
        for column in self.columns:
            title, style = column.title, "-head"
            if column.key == self.order.key:
                sign = self.symbols.descending if self.order.descending else self.symbols.ascending
                style = "-sort"
                # The sign takes the gap beside the title, so that no column needs room for it.
                if column.align == "right":
                    width = column.width + len(pad)
                    pieces.append((fit(sign + title, width, "right", ""), style))
                    pad = " "
                else:
                    pieces.append((pad, "-head"))
                    pieces.append((fit(title + sign, column.width + 1, "left", ""), style))
                    pad = ""
                continue
            pieces.append((pad + fit(title, column.width, column.align, ""), style))
            pad = " "
        return tuple(pieces)

    def sign(self, row: Port, *, selected: bool) -> str:
        mark = self._mark(row.key)
        if mark:
            return self.symbols.new if mark == "new" else self.symbols.gone
        return super().sign(row, selected=selected)

    def row_style(self, row: Port) -> str:
        return _MARK_STYLES[self._mark(row.key)]

    def cell_style(self, column: Column[Port], row: Port, text: str) -> str:
        if column.key == "queue" and any(_is_overfull(listener) for listener in row.listeners):
            return "-bad"
        if column.key == "process" and not row.holders:
            return "-dim"
        return super().cell_style(column, row, text) or ("-key" if column.key == "port" else "")

    def on_click(self, event: events.Click) -> None:
        if event.y < self.pinned:
            self._click_head(event.x)
            return
        was = self.cursor
        super().on_click(event)
        if self.top + event.y - self.pinned == was:
            self.post_message(self.Opened())

    def _click_head(self, x: int) -> None:
        end = 1
        for column in self.columns:
            end += column.width + 1
            if x < end:
                self.post_message(self.HeadClicked(column.key))
                return


def _is_overfull(listener: Socket) -> bool:
    """Whether one connection more than the backlog is waiting; the kernel drops the next."""
    return (
        listener.queue is not None
        and listener.backlog is not None
        and listener.queue > listener.backlog
    )
