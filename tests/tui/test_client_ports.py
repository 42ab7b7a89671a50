"""Client ports folded and unfolded on the screen."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from sockwatch.model import ClientGroup, Clients, PortSet
from sockwatch.tui.app import SockwatchApp
from sockwatch.tui.options import Options
from sockwatch.tui.screens.main import MainScreen
from tests.support import build
from tests.tui.host import Host, look, screen_lines, shows, wait_for

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from sockwatch.model import Snapshot

CLIENT = 43_210
ROW = f"{CLIENT} tcp   10.0.0.1 "
FOLDED = "    - tcp   client ports: 1, 1 to 10.0.0.5:5432"
GROUP = ClientGroup(
    protocol="tcp",
    family="ipv4",
    state="ESTABLISHED",
    mini=False,
    address="10.0.0.1",
    device=None,
    peer_address="10.0.0.5",
    peer_port=5432,
    uid=0,
    count=1,
    with_fd=1,
    lowest_port=CLIENT,
    highest_port=CLIENT,
    first_frees_in_s=None,
    last_frees_in_s=None,
)


class FoldingHost(Host):
    """The port CLIENT is a client's."""

    def take(self, number: int | None) -> Snapshot:
        clients = Clients((GROUP,), PortSet.of([CLIENT]))
        return dataclasses.replace(super().take(number), clients=clients)

    def take_each_port(self, number: int | None) -> Snapshot:
        snapshot = super().take(number)
        client = build.port(CLIENT, groups=(build.group("ESTABLISHED", "10.0.0.1", 1),))
        return dataclasses.replace(snapshot, ports=(*snapshot.ports, client))

    def app(self) -> SockwatchApp:  # type: ignore[override]
        options = Options(interval_s=3600.0)
        return SockwatchApp(
            options, self.take, lambda: self.now, take_each_port=self.take_each_port
        )


def has_row(pilot: Pilot[int]) -> bool:
    return any(ROW in line for line in screen_lines(pilot.app))


async def test_a_key_unfolds_and_folds() -> None:
    """No row is marked as new or gone by that."""
    host = FoldingHost()
    async with host.app().run_test(size=(120, 40)) as pilot:
        await shows(pilot, FOLDED)
        await look(pilot, host)
        assert not has_row(pilot)
        await pilot.press("a")
        await shows(pilot, ROW)
        screen = pilot.app.screen
        assert isinstance(screen, MainScreen)
        assert screen._marks.of((None, "tcp", CLIENT)) == ""
        await pilot.press("a")
        await shows(pilot, FOLDED)
        assert not has_row(pilot)
        assert screen._marks.gone == ()


async def test_a_filter_finds_a_client_port() -> None:
    host = FoldingHost()
    async with host.app().run_test(size=(120, 40)) as pilot:
        await shows(pilot, FOLDED)
        await pilot.press("slash", *f"port:{CLIENT}", "enter")
        await shows(pilot, ROW)
        await pilot.press("escape")
        await shows(pilot, FOLDED)
        assert not has_row(pilot)


async def test_while_paused_they_stay_folded() -> None:
    """A paused table shows one moment; it says what it does not show."""
    host = FoldingHost()
    async with host.app().run_test(size=(120, 40)) as pilot:
        await shows(pilot, FOLDED)
        await pilot.press("p", "a")
        await shows(pilot, "paused: the rows stay as they are until you press p")
        await pilot.press("slash", *f"port:{CLIENT}", "enter")
        await shows(pilot, f"{CLIENT} tcp   connections of clients have it")
        assert not has_row(pilot)
        await pilot.press("p")
        await shows(pilot, ROW)


async def test_the_row_of_client_ports() -> None:
    """Its panel has the destinations; Enter shows each port; sorting leaves it where it is."""
    host = FoldingHost()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 of 6, and 1 client port ")
        await pilot.press("G", "I", "y")
        lines = screen_lines(pilot.app)
        assert next(line for line in lines[::-1] if FOLDED[1:] in line).startswith("▌")
        await shows(pilot, "1 to 10.0.0.5:5432 from 10.0.0.1")
        await shows(pilot, "copied: - tcp client ports: 1, 1 to 10.0.0.5:5432")
        await pilot.press("enter")
        await shows(pilot, ROW)


async def test_filters_about_client_ports() -> None:
    host = FoldingHost()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, FOLDED)
        for wanted in ("client:", "peer:10.0.0.5:5432"):
            await pilot.press("slash", *wanted, "enter")
            await shows(pilot, f"filter {wanted}")
            await wait_for(pilot, lambda: screen_lines(pilot.app)[2] == f"▌{FOLDED}")
            await pilot.press("escape")


async def test_the_number_of_a_client_port_leads_to_its_details() -> None:
    host = FoldingHost()
    async with host.app().run_test(size=(80, 24)) as pilot:
        await shows(pilot, FOLDED)
        await pilot.press(*str(CLIENT), "enter")
        await wait_for(pilot, lambda: host.asked[-1] == CLIENT)
