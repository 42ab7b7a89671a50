"""One thread looks at a port until the requests of a goal would succeed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from textual.message import Message

from sockwatch.act.cancel import Cancellation
from sockwatch.bind import Verdict
from sockwatch.model import SockwatchError
from sockwatch.tui.messages import Crashed, WaitTold
from sockwatch.tui.poller import REST_PER_POLL
from sockwatch.tui.watched import Watched
from sockwatch.view.acts import Goal

Post: TypeAlias = Callable[[Message], object]

LOOK_S: Final = 0.5  # between two looks, longer where these are slow
MOST_REFUSALS: Final = 10  # then the namespace has gone, or may not be entered any more
CLOCK_S: Final = 0.05  # a TIME_WAIT may last so much longer than its clock says


class WaitThread:
    """Posts WaitTold when what is known changes; the last one is over."""

    def __init__(self, goal: Goal, watched: Watched, post: Post) -> None:
        self.goal = goal
        self._watched = watched
        self._post = post
        self._cancel = Cancellation()
        # A daemon: a look that hangs in the kernel must not hold up the exit.
        self._thread = threading.Thread(target=self._main, name="sockwatch-wait", daemon=True)

    def start(self) -> None:
        """Begin. Raises RuntimeError where no thread can be started."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more. Does not wait for a look under way."""
        self._cancel.cancel()

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._cancel.is_set

    @property
    def ended(self) -> bool:
        """Whether the thread has run and has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        """Wait for its end; not in the event loop."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def close(self) -> None:
        """Close the fd by which it is stopped, once it has ended. For the thread that stops it."""
        self._cancel.close()

    def _main(self) -> None:
        try:
            self._wait()
        except Exception as error:  # noqa: BLE001 - the app raises it again, in its own thread
            self._tell(Crashed(error))

    def _wait(self) -> None:
        refusals = 0  # one after the other
        while not self._cancel.is_set:
            started = time.monotonic()
            pause_s = LOOK_S
            try:
                # A table that is read while sockets come and go may miss one: look twice.
                worst = self._in_the_way() or self._in_the_way()
            except SockwatchError as error:
                refusals += 1
                is_over = refusals >= MOST_REFUSALS
                self._tell(WaitTold(self, refused=str(error), is_over=is_over))
                if is_over:
                    return
            else:
                refusals = 0
                self._tell(WaitTold(self, verdict=worst, is_over=worst is None))
                if worst is None:
                    return
                if worst.frees_in_s is not None:
                    pause_s = min(LOOK_S, worst.frees_in_s + CLOCK_S)
            self._cancel.wait(max(pause_s, (time.monotonic() - started) * REST_PER_POLL))

    def _in_the_way(self) -> Verdict | None:
        """The verdict of a new look on what fails; None if nothing does. Raises SockwatchError."""
        verdicts = self.goal.pair.explain(self._watched.take(self._watched.port))
        return next((verdict for verdict in verdicts if verdict.outcome != "ok"), None)

    def _tell(self, message: Message) -> None:
        if self._cancel.is_set:
            return
        try:
            self._post(message)
        except RuntimeError:  # the event loop is closed: the app has ended
            return
