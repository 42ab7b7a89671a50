"""The messages from the poller, the lab, the watch for failures and the screens to the app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from sockwatch.bind import BindRequest, Verdict
from sockwatch.model import Gap, HostSnapshot, Port, Snapshot
from sockwatch.tui.watched import Watched
from sockwatch.view.folding import Fold
from sockwatch.view.look import host_gaps

if TYPE_CHECKING:  # the lab and the acts are loaded when they are used first
    from sockwatch.act.model import EndTarget, Event
    from sockwatch.bind.pair import RequestPair
    from sockwatch.tui.lab.events import LabEvent
    from sockwatch.tui.wait_thread import WaitThread
    from sockwatch.view.acts import Act


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


class _OfPort(Message):
    """The user wants something about a port of what is watched.

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


class DetailsWanted(_OfPort):
    """The user wants the details of the port."""


class ActsWanted(_OfPort):
    """The user wants to know what can be done with the port."""


class ActChosen(Message):
    """The user has chosen an act on a port, where `pair` is to succeed; as it was last seen."""

    def __init__(self, act: Act, pair: RequestPair, snapshot: Snapshot, watched: Watched) -> None:
        super().__init__()
        self.act = act
        self.pair = pair
        self.snapshot = snapshot
        self.watched = watched


class FreeTold(Message):
    """Something has happened while a port is freed."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


class FreeAsked(Message):
    """The port goes on being freed only if the user agrees: to end these by SIGTERM or SIGKILL."""

    def __init__(self, targets: tuple[EndTarget, ...], *, by_sigkill: bool) -> None:
        super().__init__()
        self.targets = targets
        self.by_sigkill = by_sigkill


class FreeEnded(Message):
    """Nothing more is done to free the port; `refused` is why it could not be looked at, if so."""

    def __init__(self, refused: str = "") -> None:
        super().__init__()
        self.refused = refused


class WaitTold(Message):
    """What a port that is waited for looks like now.

    `verdict` is what is in the way; None if nothing is, unless the look was `refused`. `is_over`:
    the port is free, or is looked at no more.
    """

    def __init__(
        self,
        wait: WaitThread,
        *,
        verdict: Verdict | None = None,
        refused: str = "",
        is_over: bool = False,
    ) -> None:
        super().__init__()
        self.wait = wait
        self.verdict = verdict
        self.refused = refused
        self.is_over = is_over


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
