"""What the poller and the screens tell the app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from sockwatch.model import Snapshot


class Looked(Message):
    """A look at the host. A newer one takes the place of one that nobody has drawn yet."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Looked) and message.snapshot.only_port == self.snapshot.only_port


class LookFailed(Message):
    """A look that the kernel refused, in a sentence for the user."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, LookFailed)


class LookCrashed(Message):
    """A look ended in an exception that is no answer of the kernel: a bug, which ends the app."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Copied(Message):
    """Text went to the terminal's clipboard."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
