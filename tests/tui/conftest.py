from __future__ import annotations

import asyncio
import math

import pytest
from textual._context import active_app

from sockwatch.tui.screens import filtered

FRAMES = 2  # a layout asks widgets to draw themselves again


@pytest.fixture(autouse=True)
def _keys_are_waited_for_without_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Textual sleeps twice 20 ms for each key, and longer while any thread uses the CPU."""
    monkeypatch.setattr("textual.app.wait_for_idle", settled)
    monkeypatch.setattr("textual.pilot.wait_for_idle", settled)


@pytest.fixture(autouse=True)
def _filters_are_applied_at_each_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is just now."""
    monkeypatch.setattr(filtered, "FELT_S", math.inf)


async def settled(*_: float) -> None:
    """Return once every message is handled, with those it led to, and the screen is drawn.

    What only a thread or a timer will tell is not waited for.
    """
    app = active_app.get()
    for _frame in range(FRAMES):
        await _nothing_is_ready()
        if not app._exit and app.screen_stack:
            app.screen._on_timer_update()
    await _nothing_is_ready()


async def _nothing_is_ready() -> None:
    """Until this is the only task that could go on."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined] # no public way to ask
    while ready:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)
