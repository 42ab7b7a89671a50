"""A line to type in, with a label before it."""

from __future__ import annotations

from rich.highlighter import Highlighter
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static


class InputBar(Horizontal):
    """Hands every change to typed(), which a subclass defines."""

    LABEL = ""

    class Done(Message):
        """Enter: keep what was typed and go back."""

    def __init__(self, highlighter: Highlighter | None = None) -> None:
        super().__init__()
        self._highlighter = highlighter

    def compose(self) -> ComposeResult:
        yield Static(self.LABEL, markup=False)
        box = Input(compact=True, highlighter=self._highlighter, select_on_focus=False)
        box.cursor_blink = False
        yield box

    @property
    def box(self) -> Input:
        return self.query_one(Input)

    def open(self) -> None:
        self.display = True
        self.screen.set_focus(self.box)  # focus() waits until the app has nothing else to do

    def close(self) -> None:
        self.screen.set_focus(None)
        self.display = False

    def typed(self, text: str) -> None:
        """The text was changed."""
        raise NotImplementedError

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.typed(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Done())
