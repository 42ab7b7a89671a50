"""The line in which a number is typed, so that no single key does what it confirms."""

from __future__ import annotations

from textual.message import Message
from textual.widgets import Input, Static

from sockwatch.tui.widgets.input_bar import InputBar


class ConfirmBar(InputBar):
    """Opened with the number that has to be typed. Enter posts Answered and forgets what was."""

    class Answered(Message):
        """`agreed`: to the question of that number the right one was typed, and nothing else."""

        def __init__(self, question: int, *, agreed: bool) -> None:
            super().__init__()
            self.question = question
            self.agreed = agreed

    def __init__(self) -> None:
        super().__init__()
        self._number = ""
        self.question = 0  # how many were asked; an answer to an earlier one does not count

    def ask(self, number: int, what: str) -> None:
        """Ask for the number, by which the user agrees to `what`: ``end nginx(812)``."""
        self._number = str(number)
        self.question += 1
        self.query_one(Static).update(f"type {number} and Enter to {what}:")
        self.clear()
        self.open()

    def clear(self) -> None:
        """Forget what was typed."""
        self.box.value = ""

    def typed(self, text: str) -> None:
        """Nothing happens before Enter."""

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        agreed = bool(self._number) and event.value.strip() == self._number
        self.clear()
        self.post_message(self.Answered(self.question, agreed=agreed))
