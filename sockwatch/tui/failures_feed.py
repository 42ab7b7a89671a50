"""Whether failures are watched, and the latest that the watch has reported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from textual.message import Message

from sockwatch.tui.messages import FailuresRefused, FailuresSeen

if TYPE_CHECKING:  # the reader of the kernel's structs is loaded when failures are watched first
    from sockwatch.tui.failures_thread import FailuresThread, Watch


class FailuresFeed:
    """Watches while a screen wants failures or, with `always`, all the time.

    `seen` and `refused` are the latest messages of the watch; None means there was none. What was
    seen is kept while nothing is watched.
    """

    def __init__(
        self,
        post: Callable[[Message], object],
        open_watch: Callable[[], Watch] | None = None,
        *,
        always: bool,
    ) -> None:
        self.always = always
        self._open_watch = open_watch
        self.seen: FailuresSeen | None = None
        self.refused: FailuresRefused | None = None
        self._post = post
        self._thread: FailuresThread | None = None

    async def start(self) -> None:
        """Attach, unless that was done before."""
        if self._thread is not None:
            return
        await asyncio.to_thread(import_module, "sockwatch.tui.failures_thread")
        from sockwatch.tui.failures_thread import FailuresThread  # noqa: PLC0415

        folds = self.seen.folds if self.seen else ()
        self._thread = FailuresThread(self._post, folds, self._open_watch)
        self._thread.start()

    def stop(self) -> None:
        """Detach. A watch that was refused may be tried again."""
        if self._thread is not None:
            self._thread.close()
            self._thread = self.refused = None
