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
        await shows(pilot, "bind      succeeds with SO_REUSEADDR, EADDRINUSE without on 0.0.0.0")
        await pilot.press("e", *" reuseaddr")
        await shows(pilot, "bind      succeeds on 0.0.0.0 (reuseaddr)")
        await pilot.press("enter")
        await shows(pilot, "3 TIME_WAIT")
        await shows(pilot, "bind      succeeds on 0.0.0.0 (reuseaddr)")
        await pilot.press("e", "escape")
        await shows(pilot, "bind      succeeds with SO_REUSEADDR, EADDRINUSE without on 0.0.0.0")
        assert isinstance(pilot.app.screen, DetailsScreen)


async def test_a_wrong_request_is_named_and_the_last_verdict_stays() -> None:
    host = leftovers()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "9000")
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))
        await shows(pilot, "EADDRINUSE without")
        await pilot.press("e", *" nonsense")
        await shows(pilot, "! 'nonsense' is not one of reuseaddr")
        assert "EADDRINUSE without" in "\n".join(screen_lines(pilot.app))


async def test_a_port_that_became_free() -> None:
    host = leftovers()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "9000")
        await pilot.press("enter")
        await wait_for(pilot, lambda: host.asked[-1] == 9000)
        host.ports = []
        await pilot.press("r")
        await shows(pilot, "9000/tcp: nobody has it")
        await shows(pilot, "bind      succeeds with any flags on 0.0.0.0")
