"""The table of ports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from textual import events
from textual.message import Message

from sockwatch.model import NetnsKey, Port, RowKey
from sockwatch.tui.widgets.lines import KIND_STYLES, Line
from sockwatch.tui.widgets.table import Table
from sockwatch.view.column import Column
from sockwatch.view.fit import cell_width, fit
from sockwatch.view.look import OLD_S
from sockwatch.view.marks import Mark
from sockwatch.view.port_columns import NAMES, NETNS, AgeOf, RestartCell, port_columns_for
from sockwatch.view.room import Room
from sockwatch.view.row_kinds import cell_kind
from sockwatch.view.sorting import Order

Sentence: TypeAlias = Callable[[int], str]  # a text that fits into so many cells, if it can

WHOLE: Final = 1 << 16  # cells: room for any sentence
_MARK_STYLES = {"": "", "new": "-new", "gone": "-dim"}


def _unmarked(_key: RowKey) -> Mark:
    return ""


class PortTable(Table[Port]):
    """The ports, with the sort column marked in the head.

    A row can have a sentence in place of the cells behind its name. Rows without a network
    namespace are of `home`. `age_of` is for NETNS, which is there where rows have one.
    """

    class HeadClicked(Message):
        """A click on a column's title."""

        def __init__(self, column: str) -> None:
            super().__init__()
            self.column = column

    class Opened(Message):
        """A click on the port that was under the cursor before."""

    def __init__(self, restart: RestartCell | None = None, age_of: AgeOf | None = None) -> None:
        super().__init__()
        self._restart = restart
        self._age_of = age_of
        self._room = Room()
        self._widened: tuple[Column[Port], ...] = ()
        self._widened_from: tuple[Column[Port], ...] | None = None
        self.home: NetnsKey | None = None
        self.is_wide = False
        self._sentences: Mapping[RowKey, Sentence] = {}
        self._mark: Callable[[RowKey], Mark] = _unmarked
        self.order = Order()
        self.following = False

    @property
    def columns(self) -> tuple[Column[Port], ...]:
        if self._widened_from is not self._laid_out():
            self._make_room()
        return self._widened

    def _laid_out(self) -> tuple[Column[Port], ...]:
        age_of = self._age_of if self.is_wide else None
        return port_columns_for(self.size.width, self._restart, age_of)

    def _make_room(self) -> None:
        self._widened_from = self._laid_out()
        self._room.learn(self._widened_from, self.rows)
        self._widened = self._room.given()

    def key(self, row: Port) -> RowKey:
        netns, protocol, number = row.row_key
        return (netns or self.home, protocol, number)

    def show(
        self,
        ports: Sequence[Port],
        order: Order,
        now: float,
        mark: Callable[[RowKey], Mark] = _unmarked,
        sentences: Mapping[RowKey, Sentence] | None = None,
    ) -> None:
        """Show `ports`, which are in this order. While `following`, the row keeps its line.

        `sentences` has those of some rows, by their key.
        """
        self.order, self._mark, self._sentences = order, mark, sentences or {}
        line = self.cursor - self.top
        on_screen = 0 <= line < self.page_size
        self.show_rows(ports, now)
        self._make_room()
        if self.following and on_screen:
            self.top = self.cursor - line
        self.clamp()
        if self._cursor_key is None:
            self.keep_row()
        self.redraw()

    def select_number(self, number: int) -> None:
        """Put the cursor on the first port with that number, if there is one."""
        for index, row in enumerate(self.rows):
            if row.number == number:
                self.select(index)
                return

    def head(self, _y: int) -> Line:
        pad = self.symbols.cursor if self.in_focus else " "
        pieces = [(pad, "-head")]
        for column in self.columns:
            style = "-sort" if column.key == self.order.key else "-head"
            pieces += [(self._title(column), style), (" ", "-head")]
        return tuple(pieces)

    def _title(self, column: Column[Port]) -> str:
        if column.key != self.order.key:
            return fit(column.title, column.width, column.align, "")
        sign = self.symbols.descending if self.order.descending else self.symbols.ascending
        return fit(column.title, column.width, column.align, "", sign)

    def item(self, index: int, *, selected: bool) -> Line:
        row = self.rows[index]
        sentence = self._sentences.get(row.row_key)
        if sentence is None:
            return super().item(index, selected=selected)
        base = self.base_style(selected=selected)
        pieces = [(self.sign(row, selected=selected), base)]
        for column in self._names():
            cell = column.fitted(row, self.now, self.symbols.ellipsis)
            pieces.append((f"{cell} ", base or self.cell_style(column, row, cell.strip())))
        room = self.size.width - sum(cell_width(piece) for piece, _ in pieces)
        pieces.append((fit(sentence(room), room, ellipsis=self.symbols.ellipsis), base))
        return tuple(pieces)

    def row_text(self) -> str:
        row = self.row
        sentence = None if row is None else self._sentences.get(row.row_key)
        if row is None or sentence is None:
            return super().row_text()
        names = (column.text(row, self.now) for column in self._names())
        return "\t".join((*names, sentence(WHOLE)))

    def _names(self) -> Iterator[Column[Port]]:
        return (column for column in self.columns if column.key in NAMES)

    def sign(self, row: Port, *, selected: bool) -> str:
        mark = self._mark(row.row_key)
        if mark:
            return self.symbols.new if mark == "new" else self.symbols.gone
        return super().sign(row, selected=selected)

    def row_style(self, row: Port) -> str:
        return _MARK_STYLES[self._mark(row.row_key)]

    def cell_style(self, column: Column[Port], row: Port, text: str) -> str:
        kind = cell_kind(column.key, row, text)
        if kind is not None:
            return KIND_STYLES[kind]
        if column.key == NETNS and self._age_of is not None and self._age_of(row) > OLD_S:
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
                if column.is_sortable:
                    self.post_message(self.HeadClicked(column.key))
                return
