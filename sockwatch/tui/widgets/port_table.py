"""The table of ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from sockwatch.tui.widgets.scroll_lines import ScrollLines
from sockwatch.view.columns import columns_for
from sockwatch.view.fit import fit
from sockwatch.view.sorting import Order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events

    from sockwatch.model import Port, Protocol
    from sockwatch.tui.widgets.lines import Line
    from sockwatch.view.columns import Column
    from sockwatch.view.marks import Mark

_MARK_STYLES = {"": "", "new": "-new", "gone": "-dim"}


def _unmarked(_key: tuple[str, int]) -> Mark:
    return ""


class PortTable(ScrollLines):
    """The cursor stays on its port, wherever sorting and refreshing put it."""

    pinned = 1

    class HeadClicked(Message):
        """A click on a column's title."""

        def __init__(self, column: str) -> None:
            super().__init__()
            self.column = column

    class Opened(Message):
        """A click on the port that already was under the cursor."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self._ports: Sequence[Port] = ()
        self._mark: Callable[[tuple[str, int]], Mark] = _unmarked
        self._now = 0.0
        self._key: tuple[Protocol, int] | None = None
        self.order = Order()
        self.following = False

    @property
    def total(self) -> int:
        return len(self._ports)

    @property
    def columns(self) -> tuple[Column[Port], ...]:
        return columns_for(self.size.width)

    @property
    def port(self) -> Port | None:
        """The port under the cursor."""
        return self._ports[self.cursor] if self._ports else None

    def show(
        self,
        ports: Sequence[Port],
        order: Order,
        now: float,
        mark: Callable[[tuple[str, int]], Mark] = _unmarked,
    ) -> None:
        """Show `ports`, which are in this order, with the cursor on the port it was on."""
        self._ports, self.order, self._now, self._mark = ports, order, now, mark
        place = self.cursor - self.top
        visible = 0 <= place < self.page_size
        self.cursor = self._find(self._key)
        if self.following and visible:
            self.top = self.cursor - place
        self.clamp()
        port = self.port
        if self._key is None and port is not None:
            self._key = port.key
        self.redraw()

    def _find(self, key: tuple[Protocol, int] | None) -> int:
        here = self.cursor
        if here < len(self._ports) and self._ports[here].key == key:
            return here
        for index, port in enumerate(self._ports):
            if port.key == key:
                return index
        return max(0, min(here, len(self._ports) - 1))

    def selected(self) -> None:
        port = self.port
        self._key = port.key if port else None
        super().selected()

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

    def item(self, index: int, *, selected: bool) -> Line:
        port = self._ports[index]
        mark = self._mark(port.key)
        sign = self.symbols.cursor if selected else " "
        if mark:
            sign = self.symbols.new if mark == "new" else self.symbols.gone
        base = self.base_style(selected=selected) or _MARK_STYLES[mark]
        pieces = [(sign, base)]
        last = len(self.columns) - 1
        for place, column in enumerate(self.columns):
            text = column.text(port, self._now)
            cell = fit(text, column.width, column.align, self.symbols.ellipsis)
            style = base or _cell_style(column.key, port, text)
            pieces.append((cell if place == last else f"{cell} ", style))
        return tuple(pieces)

    def row_text(self) -> str:
        """The row under the cursor as text for the clipboard."""
        port = self.port
        if port is None:
            return ""
        return "\t".join(column.cell(port, self._now) for column in self.columns)

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


def _cell_style(key: str, port: Port, text: str) -> str:
    """Quiet what says nothing; point at a full queue and at sockets nobody reads from."""
    if text in ("0", "-", "??"):
        return "-dim"
    if key == "queue" and any(
        one.queue is not None and one.backlog is not None and one.queue > one.backlog
        for one in port.listeners
    ):
        return "-bad"
    if key == "process" and not port.holders:
        return "-dim"
    return "-key" if key == "port" else ""
