"""What all screens share: header, lines that scroll, status line, notices and the clipboard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from sockwatch.lab.languages.translation import ENGLISH
from sockwatch.model import Snapshot
from sockwatch.tui.commands import ACTS, Command
from sockwatch.tui.failures_feed import FailuresFeed
from sockwatch.tui.messages import Copied, Polled
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.watched import Watched
from sockwatch.tui.widgets.header_bar import HeaderBar
from sockwatch.tui.widgets.lines import LineWidget
from sockwatch.tui.widgets.scroll_lines import ScrollLines
from sockwatch.tui.widgets.status_line import StatusLine


class BaseScreen(Screen[None]):
    """A screen with its commands, which bindings, help and palette come from.

    Header and status line are the HeaderBar and StatusLine that a subclass composes, if any.
    """

    COMMAND_TABLE: ClassVar[tuple[Command, ...]] = ()
    HELP_TITLE: ClassVar[str] = ""
    AUTO_FOCUS = ""
    has_help: ClassVar = True
    wants_failures: ClassVar = False  # failures are watched while such a screen is in front
    say = ENGLISH  # the language of commands and help
    freezes: ClassVar = True  # while paused
    fresh = True  # nothing was shown yet; the first snapshot is shown even while paused

    class Opened(Message):
        """A screen is mounted and can be drawn on."""

    def __init__(
        self, symbols: Symbols, watched: Watched | None = None, *, offers_acts: bool = True
    ) -> None:
        super().__init__()
        self.offers_acts = offers_acts
        self.symbols = symbols
        self._watched = watched
        self._drawn_on: tuple[LineWidget, ...] = ()

    @property
    def commands(self) -> tuple[Command, ...]:
        """The commands that may be used."""
        return self.offered(self.COMMAND_TABLE)

    def offered(self, commands: tuple[Command, ...]) -> tuple[Command, ...]:
        """These, without the acts on ports where they are not offered."""
        return tuple(each for each in commands if self.offers_acts or each.id != ACTS.id)

    @property
    def watched(self) -> Watched | None:
        """What is polled while the screen is in front; None for nothing."""
        return self._watched

    @property
    def drawable(self) -> bool:
        """Whether the widgets are mounted: not before the screen is, nor while it is removed."""
        return bool(self._drawn_on) and all(widget.is_attached for widget in self._drawn_on)

    def on_mount(self) -> None:
        self._drawn_on = tuple(self.query(LineWidget))
        if not self.drawable:  # the app has exited meanwhile and removed the widgets
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
        """The widgets are mounted: show what is already known."""

    @property
    def lines(self) -> ScrollLines:
        return self.query_one(ScrollLines)

    def legend(self) -> Iterator[tuple[str, str]]:
        """What the help says besides the keys: signs and meanings; a heading has no meaning."""
        yield from ()

    def show_polled(self, polled: Polled) -> None:
        """Show what was polled; a screen that watches several network namespaces takes them all."""
        self.show(polled.snapshot)

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot of what is watched."""

    def show_failures(self, feed: FailuresFeed) -> None:
        """Show the failures so far, or why they are not watched."""

    def show_pace(self, text: str, style: str) -> None:
        """Show in the header how often the host is polled."""
        for header in self.query(HeaderBar):
            header.show_pace(text, style)

    def show_notice(self, text: str) -> None:
        """Show a short message in the status line; an empty one removes it."""
        for status in self.query(StatusLine):
            status.show_notice(text)

    def show_waiting(self, text: str) -> None:
        """Show in the status line what port is waited for; empty for none."""
        for status in self.query(StatusLine):
            status.show_waiting(text)

    def show_error(self, text: str) -> None:
        """Show in the status line why the last poll failed; empty if it did not."""
        for status in self.query(StatusLine):
            status.show_error(text)

    def action_copy(self) -> None:
        self.copy(self.lines.row_text())

    def copy(self, text: str, what: str = "") -> None:
        """Copy the text, if there is any; the notice says `what` it is."""
        if text:
            self.app.copy_to_clipboard(text)
            self.app.post_message(Copied(text, what))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a line is open, the key that opens it types a character."""
        openers = {command.action for command in self.COMMAND_TABLE if command.opens_a_line}
        if f"screen.{action}" in openers and isinstance(self.focused, Input):
            return False
        return super().check_action(action, parameters)

    def action_move(self, by: int) -> None:
        self.lines.move(by)

    def action_page(self, by: float) -> None:
        self.lines.page(by)

    def action_edge(self, side: int) -> None:
        self.lines.edge(side)
