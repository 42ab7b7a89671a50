"""The messages from the poller, the lab, the watch for failures and the screens to the app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from sockwatch.bind import BindRequest
from sockwatch.model import Gap, HostSnapshot, Port, Snapshot
from sockwatch.tui.watched import Watched
from sockwatch.view.folding import Fold
from sockwatch.view.look import host_gaps

if TYPE_CHECKING:  # the lab is loaded when it is opened first
    from sockwatch.tui.lab.events import LabEvent


class Polled(Message):
    """A snapshot of what is watched. A newer one replaces one that is not drawn yet.

    `host` has those of all network namespaces, where these are watched; None where one is.
    """

    def __init__(self, seen: Snapshot | HostSnapshot, watched: Watched) -> None:
        super().__init__()
        self.host = seen if isinstance(seen, HostSnapshot) else None
        self.snapshot = seen.own if isinstance(seen, HostSnapshot) else seen
        self.watched = watched

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What could not be seen."""
        return self.snapshot.gaps if self.host is None else host_gaps(self.host)

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


class BackgroundSeen(Message):
    """The terminal has said, late, whether its background is bright."""

    def __init__(self, *, light: bool) -> None:
        super().__init__()
        self.light = light


class DetailsWanted(Message):
    """The user wants the details of a port of what is watched.

    `request` is the bind() in question; None means that of the port's server.
    """

    def __init__(
        self, port: Port, snapshot: Snapshot, watched: Watched, request: BindRequest | None = None
    ) -> None:
        super().__init__()
        self.request = request
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
    """Text went to the terminal's clipboard; `what` says which, where that is not clear."""

    def __init__(self, text: str, what: str = "") -> None:
        super().__init__()
        self.text = text
        self.what = what
