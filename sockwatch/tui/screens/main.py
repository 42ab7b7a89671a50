"""The main screen: every port of the host, and a panel about the one under the cursor."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.timer import Timer

from sockwatch.model import Port, RowKey, Snapshot
from sockwatch.tui.closer_look import CloserLook, Subject
from sockwatch.tui.commands import MAIN_COMMANDS, MAIN_FOOTER, MOVE_COMMANDS, bindings
from sockwatch.tui.legend import filter_terms, port_columns, row_signs
from sockwatch.tui.messages import ActsWanted, DetailsWanted, Noticed, Polled, WatchChanged
from sockwatch.tui.screens.filtered import FilteredScreen
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.typed_number import MOMENT_S, TypedNumber
from sockwatch.tui.watched import Watched
from sockwatch.tui.widgets.filter_bar import FilterBar
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.header_bar import HeaderBar
from sockwatch.tui.widgets.panel import Panel
from sockwatch.tui.widgets.port_table import PortTable, Sentence
from sockwatch.tui.widgets.status_line import StatusLine
from sockwatch.view.answer import new_request
from sockwatch.view.filter import PORT_LANGUAGE, asks_all_netns, lists_each
from sockwatch.view.look import Look, Looks
from sockwatch.view.marks import Marks
from sockwatch.view.panel import panel
from sockwatch.view.port_columns import NETNS
from sockwatch.view.port_list import PortList, Rows, free_text, is_free
from sockwatch.view.restarts import Restarts
from sockwatch.view.sorting import Order

_PANEL_HEIGHTS = ((0, "-tiny"), (12, "-low"), (20, "-usual"), (36, "-tall"), (50, "-taller"))


def _free_text(port: Port, snapshot: Snapshot, _width: int) -> str:
    return free_text(port, snapshot)


def _gone_text(port: Port) -> str:
    assert port.netns is not None
    return f"{port.netns.label} is no longer looked into: it has ended, or may not be entered"


class MainScreen(FilteredScreen[Port]):
    """Keeps the order and the marks; the table only draws."""

    BINDINGS: ClassVar = bindings((*MAIN_COMMANDS, *MOVE_COMMANDS))
    COMMAND_TABLE = (*MAIN_COMMANDS, *MOVE_COMMANDS)
    HELP_TITLE = "Ports"
    LANGUAGE = PORT_LANGUAGE

    def __init__(self, symbols: Symbols, watched: Watched, *, offers_acts: bool = True) -> None:
        super().__init__(symbols, watched, offers_acts=offers_acts)
        self.VERTICAL_BREAKPOINTS = list(_PANEL_HEIGHTS)
        self._look: Look | None = None
        self._looks = Looks()
        self._closer = CloserLook(self, self._show_closer)
        self._marks = Marks()
        self._restarts = Restarts()
        self._list = PortList()
        self._rows = Rows((), {})
        self._order = Order()
        self._folded = watched
        self._shows_each_port = False
        self._is_wide = False
        self._typed = TypedNumber()
        self._typing_ends: Timer | None = None
        self._asked: int | None = None  # the number that was typed last; it has a row

    def compose(self) -> ComposeResult:
        yield HeaderBar()
        yield PortTable(self._restarts.cell, self._age_s)
        yield StatusLine()
        yield FilterBar(PORT_LANGUAGE)
        yield Panel()
        yield FooterBar(self.offered(MAIN_FOOTER))

    def legend(self) -> Iterator[tuple[str, str]]:
        yield from port_columns()
        yield " ", ""
        yield from row_signs(self.symbols)
        yield " ", ""
        yield from filter_terms(PORT_LANGUAGE)

    @property
    def table(self) -> PortTable:
        return self.query_one(PortTable)

    @property
    def status(self) -> StatusLine:
        return self.query_one(StatusLine)

    def show_polled(self, polled: Polled) -> None:
        if polled.host is None:
            self._show_look(Look.of(polled.snapshot))
        else:
            self._show_look(self._looks.at(polled.host))
        self._closer.again()

    def _show_look(self, look: Look) -> None:
        if self._look is not None and self._look.is_wide != look.is_wide:
            self._marks = Marks()  # what stands there in addition is not new
            if not look.is_wide and self._order.key == NETNS:
                self._order = Order()
        self._look = look
        self._marks.update(look)
        self._restarts.show(look)
        self.query_one(HeaderBar).show(look)
        self.table.home, self.table.is_wide = look.own.netns.key, look.is_wide
        self._show_rows()

    def _age_s(self, row: Port) -> float:
        return 0.0 if self._look is None else self._look.age_s(row)

    def _show_rows(self) -> None:
        look = self._look
        if look is None:
            return
        self._rows = rows = self._list.listed(
            look,
            self.filter,
            self._order,
            each=self._shows_each_port,
            gone=self._marks.gone,
            asked=self._asked,
        )
        sentences: dict[RowKey, Sentence] = {
            port.row_key: partial(_free_text, port, look.own)
            for port in rows.ports
            if is_free(port)
        }
        sentences |= {key: row.text for key, row in rows.clients.items()}
        self.table.show(rows.all, self._order, look.time, self._marks.of, sentences)
        self._show_selected()

    def _show_selected(self) -> None:
        table, look = self.table, self._look
        if look is None:
            return
        port = table.row
        self._closer.rest_on(self._outside(port, look))
        closer = None if port is None else self._closer.snapshot_of(port)
        self._restarts.look_closer(port, closer)
        if port is None:
            self.query_one(Panel).show_text(*self._empty(look))
        elif (clients := self._rows.clients.get(port.row_key)) is not None:
            self.query_one(Panel).show(tuple(clients.lines()))
        else:
            self._show_panel(port, look)
        self.status.show(self._place(look), self._order_text())

    def _outside(self, port: Port | None, look: Look) -> Subject | None:
        """The port of another network namespace; None for any other row."""
        if port is None or port.netns is None or look.is_own(port) or not port.number:
            return None
        assert self.watched is not None
        return Subject(port.row_key, self.watched.only_in(port.netns, port.number))

    def _snapshot_of(self, port: Port, look: Look) -> Snapshot | None:
        """The latest one of its namespace; None where that is not looked into any longer."""
        return self._closer.snapshot_of(port) or look.snapshot_of(port)

    def _show_panel(self, port: Port, look: Look) -> None:
        snapshot, box = self._snapshot_of(port, look), self.query_one(Panel)
        if snapshot is None:
            box.show_text(_gone_text(port))
            return
        age_s = max(0.0, look.time - snapshot.time)
        assert self.watched is not None
        is_outside = self.watched.is_outside or not look.is_own(port)
        box.show(panel(new_request(port), snapshot, is_outside=is_outside, age_s=age_s))

    def _show_closer(self) -> None:
        self._show_selected()
        self.table.redraw()

    def _place(self, look: Look) -> str:
        """Where the cursor is, or the number that is being typed."""
        if self._typed.value is not None:
            return f"port {self._typed.value}"
        table, rows = self.table, self._rows
        text = f"{table.cursor + 1 if table.row else 0} of {len(rows.ports)}"
        if words := self.filter_text():
            text += f" ({sum(1 for _ in look.rows)} ports){words}"
        elif count := sum(row.ports or 0 for row in rows.clients.values()):
            text += f", and {count:,} client {'port' if count == 1 else 'ports'}"
        return text

    def _order_text(self) -> str:
        text = f"sorted by {self._order.column.title}{', reversed' if self._order.inverted else ''}"
        return f"following  {text}" if self.table.following else text

    def _empty(self, look: Look) -> tuple[str, ...]:
        if any(look.rows):
            is_folded = any(part.snapshot.clients.groups for part in look.parts)
            folded = ("client ports are not among these yet",) if is_folded else ()
            is_narrow = not look.is_wide and self._folded.namespaces is not None
            others = ("N looks into every network namespace",) if is_narrow else ()
            return ("no port matches the filter", *folded, *others, "Esc clears it")
        where = "any" if look.is_wide else "this"
        return (f"no port is in use in {where} network namespace",)

    def on_scroll_lines_moved(self) -> None:
        port = self.table.row
        if self._asked is not None and (port is None or port.number != self._asked):
            self._ask(None)
        self._show_selected()

    def on_port_table_opened(self) -> None:
        self.action_details()

    def on_port_table_head_clicked(self, event: PortTable.HeadClicked) -> None:
        self._sort(self._order.invert() if event.column == self._order.key else Order(event.column))

    def action_details(self) -> None:
        port = self.table.row
        if port is not None and port.row_key in self._rows.clients:
            self.action_all_ports()
        else:
            self._want(DetailsWanted)

    def action_acts(self) -> None:
        port = self.table.row
        if port is not None and port.row_key in self._rows.clients:
            self.post_message(
                Noticed("clients have these ports, which go with them: Enter lists each")
            )
        else:
            self._want(ActsWanted)

    def _want(self, what: type[DetailsWanted | ActsWanted]) -> None:
        port, look = self.table.row, self._look
        if port is None or look is None:
            return
        snapshot, outside = self._snapshot_of(port, look), self._outside(port, look)
        assert self.watched is not None
        watched = self.watched.only(port.number) if outside is None else outside.watched
        if snapshot is None:
            self.post_message(Noticed(_gone_text(port)))
        else:
            self.post_message(what(port, snapshot, watched))

    def action_all_ports(self) -> None:
        self._shows_each_port = not self._shows_each_port
        self._watch()
        self._show_rows()

    def action_all_netns(self) -> None:
        self._is_wide = not self._is_wide
        self._watch()

    def action_jump(self, digit: str = "") -> None:
        if not digit:
            self.post_message(Noticed("type the number of a port: the cursor goes there"))
        elif (number := self._typed.add(int(digit))) is not None:
            if self._typing_ends is not None:
                self._typing_ends.stop()
            self._typing_ends = self.set_timer(MOMENT_S, self._end_typing)
            self._ask(number)

    def _ask(self, number: int | None) -> None:
        """Give the port with that number a row, and put the cursor there."""
        self._asked = number
        if number is None:
            self._typed.end()
        self._show_rows()
        if number is not None:
            self.table.select_number(number)

    def _end_typing(self) -> None:
        self._typed.end()
        self._show_selected()

    def _watch(self) -> None:
        """Poll what the rows shown need: a filter may name a client port, or a namespace."""
        if (self._is_wide or asks_all_netns(self.filter)) and self._folded.namespaces is not None:
            wanted = self._folded.wide()
        elif self._shows_each_port or lists_each(self.filter):
            wanted = self._folded.each_port()
        else:
            wanted = self._folded
        if wanted != self._watched:
            self._watched = wanted
            self.post_message(WatchChanged())

    def action_sort(self, by: int) -> None:
        self._sort(self._order.step(by, self.table.columns))

    def action_invert(self) -> None:
        self._sort(self._order.invert())

    def _sort(self, order: Order) -> None:
        self._order = order
        self._show_rows()
        self.table.show_cursor()
        self.table.redraw()

    def action_follow(self) -> None:
        self.table.following = not self.table.following
        self.table.show_cursor()
        self.table.redraw()
        self._show_selected()

    def action_clear_filter(self) -> None:
        self._typed.end()
        self._asked = None
        super().action_clear_filter()

    def filter_changed(self) -> None:
        self._watch()
        self._show_rows()
