"""What all screens have: lines that scroll, a footer, and a place for notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from sockwatch.tui.widgets.lines import LineWidget
from sockwatch.tui.widgets.scroll_lines import ScrollLines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sockwatch.model import Snapshot
    from sockwatch.tui.commands import Command
    from sockwatch.tui.symbols import Symbols
    from sockwatch.tui.watched import Watched


class BaseScreen(Screen[None]):
    """`COMMAND_TABLE` is what the help and the palette offer here besides the app's commands."""

    COMMAND_TABLE: ClassVar[tuple[Command, ...]] = ()
    HELP_TITLE: ClassVar[str] = ""
    AUTO_FOCUS = ""
    fresh = True  # nothing was shown yet: a pause does not keep the first look away

    class Opened(Message):
        """A screen is there and can be drawn on."""

    def __init__(self, symbols: Symbols, watched: Watched | None = None) -> None:
        super().__init__()
        self.symbols = symbols
        self._watched = watched
        self._drawn_on: tuple[LineWidget, ...] = ()

    @property
    def watched(self) -> Watched | None:
        """What it wants looked at while it is in front."""
        return self._watched

    @property
    def drawable(self) -> bool:
        """Whether the widgets are there: not before the screen is, nor while it is taken down."""
        return bool(self._drawn_on) and all(widget.is_attached for widget in self._drawn_on)

    def on_mount(self) -> None:
        self._drawn_on = tuple(self.query(LineWidget))
        if not self.drawable:  # the program is left already, and has taken the widgets away
            return
        for widget in self._drawn_on:
            widget.symbols = self.symbols
        self.ready()
        self.post_message(self.Opened())

    def on_unmount(self) -> None:
        # Textual keeps what a widget has drawn after the widget has gone (textual issue 6665).
        for widget in (self, *self._drawn_on):
            widget.refresh()

    def ready(self) -> None:
        """The widgets are there."""

    @property
    def lines(self) -> ScrollLines:
        return self.query_one(ScrollLines)

    def legend(self) -> Iterator[tuple[str, str]]:
        """What the help says besides the keys: a sign and a text; a heading has no text."""
        yield from ()

    def show(self, snapshot: Snapshot) -> None:
        """Show a look at what is watched."""

    def show_pace(self, text: str, style: str) -> None:
        """Show how fresh the looks are."""

    def show_notice(self, text: str) -> None:
        """Show a short message."""

    def show_error(self, text: str) -> None:
        """Show why the last look failed, or with an empty text that it did not."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where a line is open, the key that opens one is a character in it."""
        openers = {each.action for each in self.COMMAND_TABLE if each.opens_a_line}
        if f"screen.{action}" in openers and isinstance(self.focused, Input):
            return False
        return super().check_action(action, parameters)

    def action_move(self, by: int) -> None:
        self.lines.move(by)

    def action_page(self, by: float) -> None:
        self.lines.page(by)

    def action_edge(self, side: int) -> None:
        self.lines.edge(side)
