"""One thread polls what is watched and posts each snapshot."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from textual.message import Message

from sockwatch.model import SockwatchError
from sockwatch.tui.messages import Crashed, Polled, PollFailed
from sockwatch.tui.watched import Watched

# At most a quarter of the time goes into polling, with one core or two.
REST_PER_POLL = 3.0


class Poller:
    """Polls never overlap: the next one starts when the last is done and its rest is over.

    Nor do they pile up: while the terminal does not read, the app is blocked and acknowledges none.
    """

    def __init__(
        self, watched: Watched, post: Callable[[Message], object], interval_s: float
    ) -> None:
        self._watched: Watched | None = watched
        self._post = post
        self._wake = threading.Event()
        self._acknowledged = threading.Event()
        self._stopped = False
        self.interval_s = interval_s
        self.took_s = 0.0
        self.polling_since: float | None = None  # of time.monotonic(); None between polls
        # A daemon: a poll that hangs in the kernel must not hold up the exit.
        self._thread = threading.Thread(target=self._run, name="sockwatch-poller", daemon=True)

    def start(self) -> None:
        """Start polling, unless it has started."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """Stop after the poll under way, without waiting for it."""
        self._stopped = True
        self._acknowledged.set()
        self._wake.set()

    def acknowledge(self) -> None:
        """The message posted last has been handled, so that another poll may start."""
        self._acknowledged.set()

    def poll_now(self) -> None:
        """Poll now, without waiting for the rest of the interval."""
        self._wake.set()

    def watch(self, watched: Watched | None) -> None:
        """Poll this from now on; None stops polling."""
        self._watched = watched
        self._wake.set()

    @property
    def period_s(self) -> float:
        """The time from one poll to the next: the interval, longer where polls are slow."""
        return max(self.interval_s, self.took_s * (1 + REST_PER_POLL))

    def late_s(self, now: float) -> float:
        """How long the poll under way has been overdue at `now`, of time.monotonic()."""
        since = self.polling_since
        return 0.0 if since is None else max(0.0, now - since - self.interval_s)

    def _run(self) -> None:
        while not self._stopped:
            self._wake.clear()
            watched = self._watched
            if watched is None:
                self._wake.wait()
                continue
            started = time.monotonic()
            self.polling_since = started
            message = _poll(watched)
            self.polling_since = None
            self.took_s = time.monotonic() - started
            self._acknowledged.clear()
            if not self._deliver(message):
                return
            self._acknowledged.wait()
            self._wake.wait(max(0.0, started + self.period_s - time.monotonic()))

    def _deliver(self, message: Message) -> bool:
        if self._stopped:
            return False
        try:
            self._post(message)
        except RuntimeError:  # the event loop is closed: the app has exited
            return False
        return True


def _poll(watched: Watched) -> Message:
    try:
        return Polled(watched.look(), watched)
    except SockwatchError as error:
        return PollFailed(str(error), watched)
    except Exception as error:  # noqa: BLE001 - the app raises it again, in its own thread
        return Crashed(error)
