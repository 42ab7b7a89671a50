"""One look at a time, however many ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from sockwatch.model import SockwatchError, shortage

Seen = TypeVar("Seen")
FRESH_S: Final = 1.0  # a look this old answers again


@dataclass(frozen=True)
class LastLook(Generic[Seen]):
    """The last look that succeeded; None in all three if there was none.

    `looks` is how many there were, `errors` how many of them failed, and `error` the sentence of
    the last one if it failed.
    """

    seen: Seen | None
    age_s: float | None
    took_s: float | None
    looks: int
    errors: int
    error: str | None


class Looks(Generic[Seen]):
    """Looks when somebody asks, in a thread of its own, which ends with the process.

    `look` is called in that thread alone. Where it takes longer than an asker waits, the last look
    answers, with its age.
    """

    def __init__(self, look: Callable[[], Seen], fresh_s: float = FRESH_S) -> None:
        self._look = look
        self._fresh_s = fresh_s
        self._changed = threading.Condition()
        self._asked = False
        self._seen: Seen | None = None
        self._at: float | None = None  # time.monotonic() when the last look had begun
        self._tried_at: float | None = None
        self._took_s: float | None = None
        self._looks = self._errors = 0
        self._error: str | None = None
        threading.Thread(target=self._work, name="looks", daemon=True).start()

    def latest(self, timeout_s: float) -> LastLook[Seen]:
        """A fresh look, or the last one if that takes longer than `timeout_s` seconds."""
        with self._changed:
            if not self._is_fresh():
                looks = self._looks
                self._asked = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._looks > looks, timeout_s)
            age_s = None if self._at is None else time.monotonic() - self._at
            return LastLook(self._seen, age_s, self._took_s, self._looks, self._errors, self._error)

    def _is_fresh(self) -> bool:
        at = self._tried_at
        return at is not None and time.monotonic() - at < self._fresh_s

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked)
                self._asked = False
            began = time.monotonic()
            seen, error = None, None
            try:
                seen = self._look()
            except SockwatchError as failed:
                error = str(failed)
            except Exception as failed:  # noqa: BLE001 - it goes on, and says that it is blind
                error = shortage(failed) or f"{type(failed).__name__}: {failed}"
            ended = time.monotonic()
            with self._changed:
                self._looks += 1
                self._tried_at = ended
                self._error = error
                if error is None:
                    self._seen, self._at, self._took_s = seen, began, ended - began
                else:
                    self._errors += 1
                self._asked = False  # those who asked meanwhile get this one
                self._changed.notify_all()
