"""The thread that watches for failures, as long as somebody wants to see them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final, Protocol, TypeAlias

from textual.message import Message

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.tui.messages import Crashed, FailuresRefused, FailuresSeen
from sockwatch.view.folding import Fold, fold
from sockwatch.watch import FailureWatch, refusal

Post: TypeAlias = Callable[[Message], object]

SHOWN_EVERY_S: Final = 0.25  # a storm of failures is drawn four times a second
LOSSES_EVERY_S: Final = 1.0  # what was lost wakes nobody


class Watch(Protocol):
    """What a FailureWatch does, so that a test can play one."""

    @property
    def lost(self) -> int: ...
    def wait(self, timeout_s: float | None = None) -> tuple[ExplainedFailure, ...]: ...
    def wake(self) -> None: ...
    def close(self) -> None: ...


class FailuresThread(threading.Thread):
    """Posts all failures so far, folded, whenever there are more. `folds` go on from before."""

    def __init__(
        self,
        post: Post,
        folds: tuple[Fold, ...] = (),
        open_watch: Callable[[], Watch] | None = None,
    ) -> None:
        # A daemon: a look that hangs in the kernel must not hold up the exit.
        super().__init__(name="sockwatch-failures", daemon=True)
        self._post = post
        self._folds = folds
        self._open_watch = open_watch or FailureWatch
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._stopped = False

    def close(self) -> None:
        """Detach soon, from any thread."""
        with self._lock:
            self._stopped = True
            if self._watch is not None:
                self._watch.wake()

    def run(self) -> None:
        try:
            with closing(self._open_watch()) as watch:
                with self._lock:
                    self._watch = watch
                try:
                    self._follow(watch)
                finally:
                    with self._lock:  # from here on nobody wakes what is closed
                        self._watch = None
        except BpfUnavailable as error:
            self._tell(FailuresRefused(refusal(error)))
        except Exception as error:  # noqa: BLE001 - the app raises it again, in its own thread
            self._tell(Crashed(error))

    def _follow(self, watch: Watch) -> None:
        lost = told_lost = 0
        self._tell(FailuresSeen(self._folds, lost))
        told_at, fresh = time.monotonic(), False
        while not self._stopped:
            left_s = told_at + SHOWN_EVERY_S - time.monotonic()
            found = watch.wait(max(0.0, left_s) if fresh else LOSSES_EVERY_S)
            if found:
                self._folds, fresh = fold(self._folds, found), True
            lost = watch.lost
            due = time.monotonic() >= told_at + SHOWN_EVERY_S
            if due and (fresh or lost != told_lost):
                self._tell(FailuresSeen(self._folds, lost))
                told_at, told_lost, fresh = time.monotonic(), lost, False

    def _tell(self, message: Message) -> None:
        if not self._stopped:
            with suppress(RuntimeError):  # the event loop is closed: the app has ended
                self._post(message)
