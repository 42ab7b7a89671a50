"""The messages from the poller, the lab, the watch for failures and the screens to the app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from sockwatch.model import Port, Snapshot
from sockwatch.tui.watched import Watched
from sockwatch.view.folding import Fold

if TYPE_CHECKING:  # the lab is loaded when it is opened first
    from sockwatch.tui.lab.events import LabEvent


class Polled(Message):
    """A snapshot of what is watched. A newer one replaces one that is not drawn yet."""

    def __init__(self, snapshot: Snapshot, watched: Watched) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.watched = watched

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Polled) and message.watched == self.watched


class PollFailed(Message):
    """A poll that the kernel refused; `text` tells the user why."""

    def __init__(self, text: str, watched: Watched) -> None:
        super().__init__()
        self.text = text
        self.watched = watched

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, PollFailed) and message.watched == self.watched


class LabReported(Message):
    """What happened in the sandbox, from the lab's thread."""

    def __init__(self, event: LabEvent) -> None:
        super().__init__()
        self.event = event


class FailuresSeen(Message):
    """All failures so far, folded; `lost` more came too fast to be read."""

    def __init__(self, folds: tuple[Fold, ...], lost: int) -> None:
        super().__init__()
        self.folds = folds
        self.lost = lost

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, FailuresSeen)


class FailuresRefused(Message):
    """Failures cannot be watched on this host; `text` tells the user why."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Crashed(Message):
    """A thread raised an exception other than a kernel error: a bug, which ends the app."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class DetailsWanted(Message):
    """The user wants the details of a port of what is watched."""

    def __init__(self, port: Port, snapshot: Snapshot, watched: Watched) -> None:
        super().__init__()
        self.port = port
        self.snapshot = snapshot
        self.watched = watched


class WatchChanged(Message):
    """The screen in front wants another host, sandbox or port polled."""


class Noticed(Message):
    """A short message for the user."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Copied(Message):
    """Text went to the terminal's clipboard."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
