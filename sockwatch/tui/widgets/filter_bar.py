"""Where the filter is typed. Wrong terms are marked where they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.highlighter import Highlighter
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from sockwatch.view.filter import Filter, parse_filter

if TYPE_CHECKING:
    from rich.text import Text
    from textual.app import ComposeResult

WRONG = "underline bold red"


class _WrongTerms(Highlighter):
    def highlight(self, text: Text) -> None:
        for start, end, _ in parse_filter(text.plain).errors:
            text.stylize(WRONG, start, end)


class FilterBar(Horizontal):
    """Posts each new filter as it is typed."""

    class Typed(Message):
        """The text was changed."""

        def __init__(self, parsed: Filter) -> None:
            super().__init__()
            self.parsed = parsed

    class Done(Message):
        """Enter: keep the filter and go back to the table."""

    def compose(self) -> ComposeResult:
        yield Static("/", markup=False)
        box = Input(compact=True, highlighter=_WrongTerms(), select_on_focus=False)
        box.cursor_blink = False
        yield box

    @property
    def box(self) -> Input:
        return self.query_one(Input)

    def open(self) -> None:
        self.display = True
        self.box.focus()

    def close(self) -> None:
        self.screen.set_focus(None)
        self.display = False

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Typed(parse_filter(event.value)))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Done())
