"""What the poller, the lab, the watch for failures and the screens tell the app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from sockwatch.model import Port, Snapshot
    from sockwatch.tui.lab.news import News
    from sockwatch.tui.watched import Watched
    from sockwatch.view.folding import Fold


class Looked(Message):
    """A look at what is watched. A newer one takes the place of one that nobody has drawn yet."""

    def __init__(self, snapshot: Snapshot, watched: Watched) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.watched = watched

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Looked) and message.watched == self.watched


class LookFailed(Message):
    """A look that the kernel refused, in a sentence for the user."""

    def __init__(self, text: str, watched: Watched) -> None:
        super().__init__()
        self.text = text
        self.watched = watched

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, LookFailed) and message.watched == self.watched


class LabTold(Message):
    """What happened on the stage, from the lab's thread."""

    def __init__(self, news: News) -> None:
        super().__init__()
        self.news = news


class FailuresSeen(Message):
    """All failures watched so far, folded; `lost` were not seen, since they came too fast."""

    def __init__(self, folds: tuple[Fold, ...], lost: int) -> None:
        super().__init__()
        self.folds = folds
        self.lost = lost

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, FailuresSeen)


class FailuresRefused(Message):
    """The host does not let us watch for failures, in a sentence for the user."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Crashed(Message):
    """A thread ended in an exception that is no answer of the kernel: a bug, which ends the app."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class DetailsWanted(Message):
    """Somebody wants to see more of a port of what is watched."""

    def __init__(self, port: Port, snapshot: Snapshot, watched: Watched) -> None:
        super().__init__()
        self.port = port
        self.snapshot = snapshot
        self.watched = watched


class WatchChanged(Message):
    """A screen wants something else looked at than before."""


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
