"""A thread that acts on a port, and can be asked to stop."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

from textual.message import Message

from sockwatch.act.cancel import Cancellation
from sockwatch.tui.messages import Crashed

Post: TypeAlias = Callable[[Message], object]


class ActThread(ABC):
    """`post_crash` takes an exception that is a bug."""

    def __init__(self, name: str, post_crash: Post) -> None:
        self._post_crash = post_crash
        self._cancel = Cancellation()
        # A daemon: what hangs in the kernel must not hold up the exit.
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    @abstractmethod
    def act(self) -> None:
        """Do what the thread is for."""

    def start(self) -> None:
        """Begin. Raises RuntimeError where no thread can be started."""
        self._thread.start()

    def stop(self) -> None:
        """Do no more; what is done stays done. Does not wait."""
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
            self.act()
        except Exception as error:  # noqa: BLE001 - the app raises it again, in its own thread
            send(self._post_crash, Crashed(error))


def send(post: Post, message: Message) -> None:
    """Post it, unless the app has ended."""
    try:
        post(message)
    except RuntimeError:  # the event loop is closed
        return
