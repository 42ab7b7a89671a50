"""Many lines, of which only the visible ones are built, with a cursor on one of them."""

from __future__ import annotations

from textual import events
from textual.message import Message

from sockwatch.tui.widgets.lines import Line, LineWidget

_WHEEL_LINES = 3


class ScrollLines(LineWidget):
    """`pinned` lines on top stay. A subclass gives `total` and `item`."""

    pinned = 0
    # Whether this one of several lists on a screen gets the keys; None if it is the only one.
    in_focus: bool | None = None

    class Moved(Message):
        """The cursor was moved by hand."""

        def __init__(self, lines: ScrollLines) -> None:
            super().__init__()
            self.lines = lines

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self.top = 0
        self.cursor = 0

    @property
    def total(self) -> int:
        raise NotImplementedError

    def item(self, index: int, *, selected: bool) -> Line:
        raise NotImplementedError

    def row_text(self) -> str:
        """The line under the cursor as text for the clipboard."""
        return ""

    def head(self, _y: int) -> Line:
        return ()

    def set_focus(self, *, here: bool) -> None:
        self.in_focus = here
        self.redraw()

    def base_style(self, *, selected: bool) -> str:
        """The style of the line under the cursor, where the keys go here."""
        return "-select" if selected and self.in_focus is not False else ""

    @property
    def page_size(self) -> int:
        return max(1, self.size.height - self.pinned)

    def line(self, y: int) -> Line:
        if y < self.pinned:
            return self.head(y)
        index = self.top + y - self.pinned
        if index >= self.total:
            return ()
        return self.item(index, selected=index == self.cursor)

    def select(self, index: int) -> None:
        """Put the cursor there, and the line on the screen."""
        self.cursor = max(0, min(index, self.total - 1))
        self.show_cursor()
        self.selected()
        self.redraw()

    def show_cursor(self) -> None:
        self.top = max(self.cursor - self.page_size + 1, min(self.top, self.cursor))
        self.clamp()

    def clamp(self) -> None:
        self.top = max(0, min(self.top, self.total - self.page_size))

    def selected(self) -> None:
        """The cursor was moved by hand."""
        self.post_message(self.Moved(self))

    def move(self, by: int) -> None:
        self.select(self.cursor + by)

    def page(self, by: float) -> None:
        self.top += round(by * self.page_size)
        self.clamp()
        self.move(round(by * self.page_size))

    def edge(self, side: int) -> None:
        self.select(0 if side < 0 else self.total - 1)

    def on_resize(self) -> None:
        self.show_cursor()
        self.redraw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._wheel(_WHEEL_LINES)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._wheel(-_WHEEL_LINES)

    def _wheel(self, by: int) -> None:
        self.top += by
        self.clamp()
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        index = self.top + event.y - self.pinned
        if event.y >= self.pinned and 0 <= index < self.total:
            self.select(index)
