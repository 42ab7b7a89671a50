"""The thread that watches for failures while a screen wants them."""

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
LOSSES_EVERY_S: Final = 1.0  # a lost failure does not wake the thread, so it asks


class Watch(Protocol):
    """What the thread needs of a FailureWatch, so that a test can fake one."""

    @property
    def lost(self) -> int: ...
    def wait(self, timeout_s: float | None = None) -> tuple[ExplainedFailure, ...]: ...
    def wake(self) -> None: ...
    def close(self) -> None: ...


class FailuresThread(threading.Thread):
    """Posts all failures so far, folded, whenever there are more. `folds` are those so far."""

    def __init__(
        self,
        post: Post,
        folds: tuple[Fold, ...] = (),
        open_watch: Callable[[], Watch] | None = None,
    ) -> None:
        # A daemon: a watch that hangs in the kernel must not hold up the exit.
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
                    with self._lock:  # a watch that is closed must not be woken
                        self._watch = None
        except BpfUnavailable as error:
            self._send(FailuresRefused(refusal(error)))
        except Exception as error:  # noqa: BLE001 - the app raises it again, in its own thread
            self._send(Crashed(error))

    def _follow(self, watch: Watch) -> None:
        lost = shown_lost = 0
        self._send(FailuresSeen(self._folds, lost))
        shown_at, fresh = time.monotonic(), False
        while not self._stopped:
            left_s = shown_at + SHOWN_EVERY_S - time.monotonic()
            failures = watch.wait(max(0.0, left_s) if fresh else LOSSES_EVERY_S)
            if failures:
                self._folds, fresh = fold(self._folds, failures), True
            lost = watch.lost
            due = time.monotonic() >= shown_at + SHOWN_EVERY_S
            if due and (fresh or lost != shown_lost):
                self._send(FailuresSeen(self._folds, lost))
                shown_at, shown_lost, fresh = time.monotonic(), lost, False

    def _send(self, message: Message) -> None:
        if not self._stopped:
            with suppress(RuntimeError):  # the event loop is closed: the app has exited
                self._post(message)
