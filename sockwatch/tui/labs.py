"""The labs that were opened: each has a thread, which may outlive its screen briefly."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from sockwatch.lab.languages import Language
from sockwatch.tui.symbols import Symbols

if TYPE_CHECKING:  # the lab is loaded when it is opened first
    from sockwatch.tui.lab.backend import LabBackend
    from sockwatch.tui.lab.screen import LabScreen
    from sockwatch.tui.lab.thread import LabThread

_CLOSES_IN_S = 3.0  # a lab still there after that is killed by the kernel when sockwatch exits


class Labs:
    """Opens labs and closes all of them; `backend` replaces the real one in tests."""

    def __init__(self, backend: LabBackend | None = None, language: Language = "en") -> None:
        self._backend = backend
        self._language = language
        self._threads: list[LabThread] = []

    async def open(self, symbols: Symbols) -> LabScreen:
        """A screen with a lab of its own."""
        # Importing takes a while; the screens must not freeze meanwhile.
        await asyncio.to_thread(import_module, "sockwatch.tui.lab.screen")
        from sockwatch.lab.languages.scenarios import translated  # noqa: PLC0415
        from sockwatch.lab.languages.translation import translation  # noqa: PLC0415
        from sockwatch.tui.lab.backend import LabBackend  # noqa: PLC0415
        from sockwatch.tui.lab.screen import LabScreen  # noqa: PLC0415
        from sockwatch.tui.lab.thread import LabThread  # noqa: PLC0415

        backend = self._backend or LabBackend()
        say = translation(self._language)
        thread = LabThread(backend, say)
        self._threads = [*(t for t in self._threads if not t.ended), thread]
        scenarios = tuple(translated(scenario, say) for scenario in backend.scenarios())
        return LabScreen(symbols, say, thread, scenarios)

    def close(self) -> None:
        """Begin to close the labs."""
        for thread in self._threads:
            thread.close()

    def join(self) -> None:
        """Wait until the labs are closed; not in the event loop."""
        for thread in self._threads:
            thread.close()
            thread.join(_CLOSES_IN_S)
