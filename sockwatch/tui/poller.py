"""One thread looks at what is watched again and again and posts what it sees."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from sockwatch.model import SockwatchError
from sockwatch.tui.messages import Crashed, Looked, LookFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.message import Message

    from sockwatch.tui.watched import Watched

# At most a quarter of the time goes into looking, with one core or two.
REST_PER_LOOK = 3.0


class Poller:
    """Looks never overlap: the next one starts when the last is done and its rest is over.

    Nor do they pile up: where the terminal does not read, the app stands still and takes none.
    """

    def __init__(
        self, watched: Watched, post: Callable[[Message], object], interval_s: float
    ) -> None:
        self._watched: Watched | None = watched
        self._post = post
        self._wake = threading.Event()
        self._taken = threading.Event()
        self._stopped = False
        self.interval_s = interval_s
        self.took_s = 0.0
        self.looking_since: float | None = None
        # A daemon: a look that hangs in the kernel must not hold up the exit.
        self._thread = threading.Thread(target=self._run, name="sockwatch-poller", daemon=True)

    def start(self) -> None:
        """Start looking, once."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._taken.set()
        self._wake.set()

    def taken(self) -> None:
        """What was posted last has been taken, so that another look is of use."""
        self._taken.set()

    def look_now(self) -> None:
        self._wake.set()

    def watch(self, watched: Watched | None) -> None:
        """Look at this from now on, or at nothing."""
        self._watched = watched
        self._wake.set()

    @property
    def period_s(self) -> float:
        """The time from one look to the next: the interval, longer where looks are slow."""
        return max(self.interval_s, self.took_s * (1 + REST_PER_LOOK))

    def late_s(self, now: float) -> float:
        """For how long the look that is under way has been overdue."""
        since = self.looking_since
        return 0.0 if since is None else max(0.0, now - since - self.interval_s)

    def _run(self) -> None:
        while not self._stopped:
            self._wake.clear()
            watched = self._watched
            if watched is None:
                self._wake.wait()
                continue
            started = time.monotonic()
            self.looking_since = started
            message = _look(watched)
            self.looking_since = None
            self.took_s = time.monotonic() - started
            self._taken.clear()
            if not self._deliver(message):
                return
            self._taken.wait()
            self._wake.wait(max(0.0, started + self.period_s - time.monotonic()))

    def _deliver(self, message: Message) -> bool:
        if self._stopped:
            return False
        try:
            self._post(message)
        except RuntimeError:  # the event loop is closed: the app has ended
            return False
        return True


def _look(watched: Watched) -> Message:
    try:
        return Looked(watched.take(watched.port), watched)
    except SockwatchError as error:
        return LookFailed(str(error), watched)
    except Exception as error:  # noqa: BLE001 - the app raises it again, in its own thread
        return Crashed(error)
