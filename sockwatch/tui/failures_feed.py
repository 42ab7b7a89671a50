"""When failures are watched, and what was seen of them."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.message import Message

    from sockwatch.tui.failures_thread import FailuresThread, Watch
    from sockwatch.tui.messages import FailuresRefused, FailuresSeen


class FailuresFeed:
    """Watches while it is wanted: as long as the screen shows them or, with `always`, all along.

    `seen` and `refused` are the last that was told; what was seen before is kept.
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
        """Attach, unless that is done already."""
        if self._thread is not None:
            return
        # The reader of the kernel's structs is not loaded at every start.
        await asyncio.to_thread(import_module, "sockwatch.tui.failures_thread")
        from sockwatch.tui.failures_thread import FailuresThread  # noqa: PLC0415

        folds = self.seen.folds if self.seen else ()
        self._thread = FailuresThread(self._post, folds, self._open_watch)
        self._thread.start()

    def stop(self) -> None:
        """Detach. What was refused may be asked for again."""
        if self._thread is not None:
            self._thread.close()
            self._thread = self.refused = None
