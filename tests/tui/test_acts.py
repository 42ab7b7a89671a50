"""The menu of acts, on a host that the test decides."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sockwatch.model import Snapshot
from sockwatch.tui import wait_thread
from sockwatch.tui.lab.screen import LabScreen
from sockwatch.tui.messages import DetailsWanted
from sockwatch.tui.options import Options
from sockwatch.tui.screens.acts import ActsScreen
from sockwatch.tui.screens.details import DetailsScreen
from sockwatch.tui.screens.help import HelpScreen
from sockwatch.tui.screens.main import MainScreen
from sockwatch.tui.watched import Watched
from tests.support import build
from tests.support.build import group, holder, port, process
from tests.tui.host import line_with, screen_lines, shows, wait_for
from tests.tui.lab_sandbox import Sandboxes
from tests.tui.wide_host import WEB2, WideHost

if TYPE_CHECKING:
    from sockwatch.model import Port

from tests.tui.acts_host import ROOT, RootHost, app_server, opened, poll, text_of


async def test_a_row_that_goes_while_the_menu_is_open() -> None:
    host = RootHost([app_server()])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        await opened(pilot, host)
        await shows(pilot, "by SIGTERM")
        host.ports = []
        poll(pilot)
        await shows(pilot, "80/tcp: nobody has it")
        assert "free  " not in text_of(pilot)
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))


async def test_the_cursor_stays_on_the_act_that_it_was_put_on() -> None:
    host = RootHost([app_server()])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        menu = await opened(pilot, host)
        await pilot.press("G")
        assert menu.list.act is not None
        assert menu.list.act.id == "details"
        host.ports = []
        poll(pilot)
        await shows(pilot, "nobody has it")
        assert menu.list.act.id == "details"


async def test_a_command_is_copied_and_the_menu_closes() -> None:
    host = RootHost([app_server()])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        await opened(pilot, host)
        await shows(pilot, "copy         kill 7")
        await pilot.press("down", "down", "enter")
        await shows(pilot, "copied the command: kill 7")
        assert isinstance(pilot.app.screen, MainScreen)
        assert pilot.app.clipboard == "kill 7"


def leftovers(seconds: float = 41.0) -> Port:
    return port(9000, groups=(group("TIME_WAIT", "127.0.0.1", 3, clock=(1.0, seconds)),))


async def test_waiting_is_told_on_every_screen_and_rings_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = RootHost([app_server(), leftovers()])
    rung: list[int] = []
    app = host.app()
    monkeypatch.setattr(app, "bell", lambda: rung.append(1))
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        await pilot.press("down")
        menu = await opened(pilot, host, 9000)
        await pilot.press("down")
        assert menu.list.act is not None
        assert menu.list.act.id == "wait"
        await pilot.press("enter")
        await shows(pilot, "waiting for 9000/tcp, 41 s")
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(app.screen, DetailsScreen))
        await shows(pilot, "waiting for 9000/tcp, 41 s")
        assert not rung
        host.ports = [app_server()]
        await shows(pilot, "9000/tcp is free: bind() would succeed now")
        assert "waiting" not in text_of(pilot)
        assert rung == [1]


async def test_waiting_can_be_given_up() -> None:
    host = RootHost([leftovers()])
    app = host.app()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "TIME_WAIT 41s")
        await opened(pilot, host, 9000)
        await pilot.press("down", "enter")
        await shows(pilot, "waiting for 9000/tcp, 41 s")
        await opened(pilot, host, 9000)
        await shows(pilot, "stop waiting")
        await pilot.press("down", "enter")
        await wait_for(pilot, lambda: "waiting for" not in text_of(pilot))
        assert app.act_threads.wait is None


async def test_the_details_offer_the_acts_for_the_request_that_was_typed() -> None:
    flagged = port(9000, groups=(group("TIME_WAIT", "127.0.0.1", 3, flags=build.A),))
    host = RootHost([flagged])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "9000")
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))
        await shows(pilot, "EADDRINUSE without")
        await opened(pilot, host, 9000)
        await shows(pilot, "wait   ")
        assert "details" not in text_of(pilot)
        await pilot.press("escape", "e", *" reuseaddr", "enter")
        await shows(pilot, "bind      succeeds on 0.0.0.0 (reuseaddr)")
        await opened(pilot, host, 9000)
        assert "wait   " not in text_of(pilot)


async def test_client_ports_in_one_row_are_not_acted_on() -> None:
    curl = (holder(process(9, "curl")),)
    client = port(
        40_000, groups=(group("ESTABLISHED", "10.0.0.5", 1, with_fd=1, holders=curl),),
        holders=curl,
    )  # fmt: skip

    class Clients(RootHost):
        def take(self, number: int | None) -> Snapshot:
            facts = replace(ROOT, port_range=(32_768, 60_999))
            return replace(super().take(number), facts=facts)

    host = Clients([app_server(), client])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "client ports: 1")
        await pilot.press("G", "space")
        await shows(pilot, "clients have these ports")
        assert isinstance(pilot.app.screen, MainScreen)
        await pilot.press("a")
        await shows(pilot, "40000 tcp")
        await pilot.press("G")
        await opened(pilot, host, 40_000)
        await shows(pilot, "not to be freed: a client has it")
        assert "free  " not in text_of(pilot)


async def test_a_row_of_another_namespace_is_acted_on_there() -> None:
    host = WideHost()
    async with host.app().run_test(size=(100, 24)) as pilot:
        await shows(pilot, "8080 tcp")
        await pilot.press("N")
        await shows(pilot, "all namespaces")
        await pilot.press("/", *"container:web2", "enter")
        await shows(pilot, "nginx 5005")
        await pilot.press("space")
        await shows(pilot, "in container web2 (podman), 8080/tcp is held by nginx(5005)")
        await shows(pilot, "nginx(5005) by SIGTERM")
        assert host.visits[-1] == (WEB2.short_name, 8080)
        await pilot.press("enter")
        await shows(pilot, "type 8080 and Enter to do this:")
        host.shut.add(WEB2)
        poll(pilot)
        await shows(pilot, "cannot be entered")


async def test_readonly_hides_the_acts() -> None:
    host = RootHost([app_server()])
    app = host.app(Options(interval_s=3600.0, readonly=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        assert "Space" not in screen_lines(app)[-1]
        await pilot.press("space")
        await shows(pilot, "--readonly disables acts")
        assert isinstance(app.screen, MainScreen)
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert "Act on the port" not in titles
        assert "Details" in titles
        await pilot.press("?")
        await wait_for(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert "Space" not in text_of(pilot)
        await pilot.press("escape", "enter")
        await wait_for(pilot, lambda: isinstance(app.screen, DetailsScreen))
        await shows(pilot, "Esc back")
        assert "Space" not in screen_lines(app)[-1]
        await pilot.press("space")
        await shows(pilot, "--readonly disables acts")


async def test_the_acts_are_found_by_name() -> None:
    host = RootHost([app_server()])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        await pilot.press("ctrl+p", *"act on the")
        await shows(pilot, "Act on the port")
        await pilot.press("enter")
        await shows(pilot, "end app(7) by SIGTERM")
        assert isinstance(pilot.app.screen, ActsScreen)


async def test_the_details_of_a_port_of_the_lab_offer_no_acts() -> None:
    host = RootHost([app_server()])
    async with Sandboxes().app(host).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        await pilot.press("l")
        await shows(pilot, "sandbox: free play, waiting")
        lab = pilot.app.screen
        assert isinstance(lab, LabScreen)
        lab.post_message(DetailsWanted(app_server(), host.take(80), Watched(host.take, 80)))
        await wait_for(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))
        await shows(pilot, "80/tcp is held by app(7)")
        assert "Space" not in text_of(pilot)
        await pilot.press("space")
        await shows(pilot, "the lab has keys of its own for what runs in it")


async def test_a_port_that_cannot_be_looked_at_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wait_thread, "AGAIN_S", 0.0)
    host = WideHost()
    app = host.app()
    async with app.run_test(size=(100, 24)) as pilot:
        await shows(pilot, "8080 tcp")
        await pilot.press("N")
        await shows(pilot, "all namespaces")
        await pilot.press("/", *"container:web2", "enter")
        await shows(pilot, "nginx 5005")
        await pilot.press("space")
        await shows(pilot, "nginx(5005) by SIGTERM")
        await pilot.press("down", "enter")
        await shows(pilot, "waiting for 8080/tcp in container web2 (podman)")
        await pilot.press("space")
        await shows(pilot, "stop waiting")
        await pilot.press("escape")
        host.shut.add(WEB2)
        await shows(pilot, "no longer waiting for 8080/tcp in container web2 (podman): ")
        assert app.act_threads.wait is None


async def test_the_acts_are_shown_while_the_view_is_paused() -> None:
    host = RootHost([app_server()])
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "app 7")
        await pilot.press("p")
        await shows(pilot, "PAUSED")
        await opened(pilot, host)
        await shows(pilot, "by SIGTERM")
        host.ports = []
        poll(pilot)
        await shows(pilot, "80/tcp: nobody has it")
        await pilot.press("escape")
        assert line_with(pilot.app, "app 7")
