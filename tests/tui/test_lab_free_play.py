"""Free play: what is asked for by keys and forms, in a sandbox that is the same every time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.steps import ClientCloses, Connect
from sockwatch.tui.lab import free_play
from sockwatch.tui.lab.events import ProcessView
from sockwatch.tui.lab.screen import LabScreen
from tests.tui.host import screen_lines, shows, wait_for
from tests.tui.lab_sandbox import FakeSandbox, Sandboxes

if TYPE_CHECKING:
    from textual.pilot import Pilot


async def started(pilot: Pilot[int]) -> None:
    """One server that free play has started; the keys go to the processes."""
    await shows(pilot, "1 of 6")
    await pilot.press("l")
    await shows(pilot, "sandbox: free play, waiting")
    await pilot.press("g", "a")
    await shows(pilot, "Start a server")
    await pilot.press("enter")
    await shows(pilot, "predicted ok, kernel ok: agreed")
    await pilot.press("tab")
    await shows(pilot, "server-1 pid 4001")


def specs(sandbox: FakeSandbox) -> dict[str, list[ServerSpec]]:
    return {process.name: process.opened for process in sandbox.processes}


async def test_a_second_server_on_the_port_is_refused_as_predicted() -> None:
    sandboxes = Sandboxes()
    async with sandboxes.app().run_test(size=(80, 24)) as pilot:
        await started(pilot)
        await pilot.press("a")
        await shows(pilot, "[server-2 ")
        await pilot.press("ctrl+s")
        await shows(pilot, "predicted EADDRINUSE, kernel EADDRINUSE: agreed")
        assert specs(sandboxes.made[0]) == {"server-1": [ServerSpec()]}


async def test_kill_stop_and_continue() -> None:
    sandboxes = Sandboxes()
    async with sandboxes.app().run_test(size=(80, 24)) as pilot:
        await started(pilot)
        await pilot.press("S")
        await shows(pilot, "STOPPED")
        await pilot.press("d")
        await shows(pilot, "server-1 is stopped")
        await pilot.press("S")
        await shows(pilot, "continue server-1 (SIGCONT)")
        await wait_for(pilot, lambda: "STOPPED" not in "\n".join(screen_lines(pilot.app)))
        await pilot.press("K")
        await shows(pilot, "kill -9 server-1")
        await shows(pilot, "no process")
        assert sandboxes.made[0].processes == []


async def test_restart_with_other_flags() -> None:
    sandboxes = Sandboxes()
    async with sandboxes.app().run_test(size=(80, 24)) as pilot:
        await started(pilot)
        await pilot.press("e")
        await shows(pilot, "Kill server-1 and start it again")
        await pilot.press(*["tab"] * 4, "space", "ctrl+s")
        await shows(pilot, "    SO_REUSEADDR")
        await wait_for(
            pilot, lambda: specs(sandboxes.made[0]) == {"server-1": [ServerSpec(reuseaddr=True)]}
        )


async def test_clients_connect_and_either_side_closes_first() -> None:
    sandboxes = Sandboxes()
    async with sandboxes.app().run_test(size=(80, 24)) as pilot:
        await started(pilot)
        await pilot.press("d")
        await shows(pilot, "no client has an open connection to server-1")
        await pilot.press("C")
        await shows(pilot, "Connect clients")
        await pilot.press("tab", "3", *["tab"] * 3, "right", "right", "ctrl+s")
        await shows(pilot, "client-1: 3 connections to 127.0.0.1:10013,")
        await shows(pilot, "client-1 4002")
        await pilot.press("d")
        await shows(pilot, "server-1: close first")
        await shows(pilot, "waiting")
        await pilot.press("j", "e")
        await shows(pilot, "client-1 has no server socket")
        await pilot.press("d")
        await shows(pilot, "client-1 has no open connection")


async def test_time_waits_are_ended_at_the_port_under_the_cursor() -> None:
    sandboxes = Sandboxes()
    async with sandboxes.app().run_test(size=(80, 24)) as pilot:
        await started(pilot)
        sandboxes.made[0].waiting[10013] = 4
        await pilot.press("K")
        await shows(pilot, "TIME_WAIT 60s")
        await pilot.press("T")
        await shows(pilot, "seen 4 ended")


async def test_free_play_after_a_scenario_stays_on_its_sandbox() -> None:
    sandboxes = Sandboxes()
    async with sandboxes.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 6")
        await pilot.press("l")
        await shows(pilot, "waiting")
        await pilot.press("n")
        await shows(pilot, "1/7")
        await pilot.press("j", "a")
        await shows(pilot, "Start a server")
        await pilot.press("enter")
        await shows(pilot, " 2 start server-1")
        await shows(pilot, "predicted EADDRINUSE, kernel EADDRINUSE: agreed")
        assert len(sandboxes.made) == 1
        screen = pilot.app.screen
        assert isinstance(screen, LabScreen)
        assert screen.state.run.pending is None
        # With free play under the cursor there is a sandbox of its own.
        await pilot.press("g", "a")
        await shows(pilot, "[server-1 ")
        await pilot.press("enter")
        await shows(pilot, " 1 start server-1")
        assert len(sandboxes.made) == 2


async def test_a_form_with_something_wrong_starts_nothing() -> None:
    sandboxes = Sandboxes()
    async with sandboxes.app().run_test(size=(80, 24)) as pilot:
        await started(pilot)
        await pilot.press("a")
        await shows(pilot, "[server-2 ")
        await pilot.press("tab", "tab", "end", "x", "enter")
        await shows(pilot, "!address [0.0.0.0x")
        await shows(pilot, "! address: '0.0.0.0x' is not an IP address: type one")
        await pilot.press("ctrl+s", "f2")
        await shows(pilot, "Start a server")
        await pilot.press("backspace", "f2")
        await shows(pilot, "server-2: bind")


@pytest.mark.parametrize("keys", [("a", "escape"), ("C", "escape")])
async def test_a_form_is_left_without_a_trace(keys: tuple[str, ...]) -> None:
    sandboxes = Sandboxes()
    async with sandboxes.app().run_test(size=(80, 24)) as pilot:
        await started(pilot)
        before = screen_lines(pilot.app)
        await pilot.press(*keys)
        await shows(pilot, "PROCESSES")
        assert screen_lines(pilot.app) == before


async def test_ctrl_c_quits_from_a_form_and_letters_are_text() -> None:
    async with Sandboxes().app().run_test(size=(80, 24)) as pilot:
        await started(pilot)
        await pilot.press("a")
        await shows(pilot, "[server-2 ")
        await pilot.press(*"q?")
        await shows(pilot, "[q? ")
        await pilot.press("ctrl+c")
        assert pilot.app._exit


LISTENING = ProcessView("one", 1, (ServerSpec(),))
OTHER = ProcessView("two", 2, (ServerSpec(address="127.0.0.2"),))
STOPPED = ProcessView("three", 3, (ServerSpec(reuseport=True),), stopped=True)
LEAVING = ProcessView("four", 4, (ServerSpec(accepts=False),))
PROCESSES = (LISTENING, OTHER, STOPPED, LEAVING, ProcessView("client", 5))
HELD = ClientSpec(closes="nobody")


def test_only_servers_that_accept_are_waited_for() -> None:
    assert free_play.connect("client", HELD, PROCESSES).servers == ("one",)
    to_other = ClientSpec(to="127.0.0.2")
    assert free_play.connect("client", to_other, PROCESSES).servers == ("one", "two")


def test_all_servers_of_a_connection_close() -> None:
    done = [Connect("", "client", ClientSpec(to="127.0.0.2", closes="nobody"))]
    step = free_play.close_connections(OTHER, PROCESSES, done)
    assert isinstance(step, free_play.ServersClose)
    assert (step.servers, step.clients) == (("one", "two"), ("client",))


def test_a_client_closes_once() -> None:
    done = [Connect("", "client", HELD)]
    step = free_play.close_connections(PROCESSES[-1], PROCESSES, done)
    assert isinstance(step, ClientCloses)
    assert step.server == "one"
    assert isinstance(free_play.close_connections(PROCESSES[-1], PROCESSES, [*done, step]), str)
    gone = [process for process in PROCESSES if process.name != "client"]
    assert isinstance(free_play.close_connections(LISTENING, gone, done), str)


def test_names_are_proposed_that_are_free() -> None:
    assert free_play.proposed_name("server", ["server-1", "server-3"]) == "server-2"


def test_a_spec_in_words() -> None:
    spec = ServerSpec(address="::", v6only=True, reuseaddr=True, reuseport=True, late=True)
    assert free_play.spec_words(spec) == (
        "tcp [::]:10013 with SO_REUSEADDR and SO_REUSEPORT set after bind, IPv6 only"
    )
    assert free_play.spec_words(ServerSpec(backlog=None)).endswith("bound only")
    assert free_play.spec_words(ServerSpec(accepts=False, uid=5)).endswith("uid 5, never accepts")
    assert free_play.spec_words(ServerSpec("udp", group="224.1.1.1")).endswith("group 224.1.1.1")
