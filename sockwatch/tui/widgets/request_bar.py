"""The line for the request whose verdict the details show."""

from __future__ import annotations

from textual.message import Message

from sockwatch.tui.widgets.input_bar import InputBar


class RequestBar(InputBar):
    """Posts each change as it is typed."""

    LABEL = "bind "

    class Typed(Message):
        """The text after a change."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def typed(self, text: str) -> None:
        self.post_message(self.Typed(text))
