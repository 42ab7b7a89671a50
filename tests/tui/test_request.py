"""Editing the request in the details changes the verdict."""

from __future__ import annotations

from sockwatch.tui.screens.details import DetailsScreen
from tests.support import build
from tests.support.build import group, port
from tests.tui.host import Host, screen_lines, shows, wait_for


def leftovers() -> Host:
    return Host([port(9000, groups=(group("TIME_WAIT", "127.0.0.1", 3, flags=build.A),))])


async def test_editing_the_request_changes_the_verdict() -> None:
    host = leftovers()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "9000")
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))
        await shows(pilot, "tcp 0.0.0.0:9000: bind() would fail with EADDRINUSE")
        await pilot.press("e", *" reuseaddr")
        await shows(pilot, "tcp 0.0.0.0:9000 (reuseaddr): bind() and listen() would succeed")
        await pilot.press("enter")
        await shows(pilot, "3 TIME_WAIT")
        await shows(pilot, "tcp 0.0.0.0:9000 (reuseaddr): bind() and listen() would succeed")
        await pilot.press("e", "escape")
        await shows(pilot, "tcp 0.0.0.0:9000: bind() would fail with EADDRINUSE")
        assert isinstance(pilot.app.screen, DetailsScreen)


async def test_a_wrong_request_is_named_and_the_last_verdict_stays() -> None:
    host = leftovers()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "9000")
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))
        await shows(pilot, "bind() would fail with EADDRINUSE")
        await pilot.press("e", *" nonsense")
        await shows(pilot, "! 'nonsense' is not one of reuseaddr")
        assert "bind() would fail with EADDRINUSE" in "\n".join(screen_lines(pilot.app))


async def test_a_port_that_became_free() -> None:
    host = leftovers()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "9000")
        await pilot.press("enter")
        await wait_for(pilot, lambda: host.asked[-1] == 9000)
        host.ports = []
        await pilot.press("r")
        await shows(pilot, "no socket is left on this port")
        await shows(pilot, "tcp 0.0.0.0:9000: bind() and listen() would succeed")
