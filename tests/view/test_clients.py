"""Which ports are clients', and the row about them."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import pytest

from sockwatch.model import ClientGroup, Clients, HostFacts, Netns, PortSet, Snapshot
from sockwatch.view.clients import ClientRow, client_row, is_client
from tests.support import build
from tests.support.build import port, socket

if TYPE_CHECKING:
    from sockwatch.model import Port

FACTS = HostFacts(port_range=(32_768, 60_999))


def group(number: int, count: int = 1) -> ClientGroup:
    return ClientGroup(
        protocol="tcp",
        family="ipv4",
        state="ESTABLISHED",
        mini=False,
        address="10.0.0.1",
        device=None,
        peer_address=f"10.1.{number >> 8}.{number & 255}",
        peer_port=443,
        uid=0,
        count=count,
        with_fd=count,
        lowest_port=40_000,
        highest_port=40_000,
        first_frees_in_s=None,
        last_frees_in_s=None,
    )


def snapshot(*groups: ClientGroup, facts: HostFacts = FACTS) -> Snapshot:
    clients = Clients(groups, PortSet.of([40_000]), told_apart=True)
    return Snapshot(
        host="h", kernel="6.18", time=0, took_s=0, netns=Netns(1, "host"), ports=(), gaps=(),
        facts=facts, clients=clients,
    )  # fmt: skip


def row(of: Snapshot) -> ClientRow:
    found = client_row("tcp", (), of.clients.groups, of)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("places", "rest"),
    [
        (1, "1 to 10.1.0.0:443"),
        (2, "1 to 10.1.0.0:443, 1 to 10.1.0.1:443"),
        (3, "1 to 10.1.0.0:443, 1 to 10.1.0.1:443, and 1 more destination"),
        (4, "1 to 10.1.0.0:443, 1 to 10.1.0.1:443, and 2 more destinations"),
    ],
)
def test_destinations(places: int, rest: str) -> None:
    text = row(snapshot(*map(group, range(places)))).text()
    assert text == f"client ports: 1, under 1 % of the range, {rest}"


def test_a_destination_that_takes_most_of_the_range() -> None:
    line = row(snapshot(group(0, 28_232))).text()
    assert line.endswith(", 28,232 to 10.1.0.0:443 (100 % of the range)")


def test_what_does_not_fit_is_left_out_as_a_whole() -> None:
    busy = row(snapshot(group(0, 2911), group(1, 9)))
    whole = busy.text()
    assert whole.startswith("client ports: 1, under 1 % of the range, 2,911 to 10.1.0.0:443, 9 to")
    texts = {busy.text(width) for width in range(len(whole) + 1)}
    parts = whole.split(", ")
    assert texts == {", ".join(parts[: n + 1]) for n in range(len(parts))}
    assert all(len(busy.text(width)) <= width for width in range(15, 120))


def test_the_panel_has_every_destination() -> None:
    title, first, second = row(snapshot(group(0, 2), group(1))).lines()
    assert title.text == "tcp client ports: 1, under 1 % of the range"
    assert first.text == "2 to 10.1.0.0:443 from 10.0.0.1"
    assert second.text == "1 to 10.1.0.1:443 from 10.0.0.1"


@pytest.mark.parametrize(
    "facts", [HostFacts(), HostFacts(port_range=(1, 2), reserved_ports=((1, 2),))]
)
def test_a_range_that_is_unknown_or_reserved_to_the_last_port(facts: HostFacts) -> None:
    assert row(snapshot(group(0, 3), facts=facts)).text().endswith(", 3 to 10.1.0.0:443")


def test_thousands_of_destinations_take_no_time() -> None:
    crawler = snapshot(*map(group, range(4096)))
    started = time.process_time()
    assert row(crawler).text(80)
    assert time.process_time() - started < 1


def test_some_of_the_groups_tell_sockets_and_no_ports() -> None:
    all_of_them = snapshot(group(0, 3), group(1, 9))
    found = client_row("tcp", (), all_of_them.clients.groups[:1], all_of_them)
    assert found is not None
    assert found.text() == "client ports, 3 to 10.1.0.0:443"


def test_nothing_to_tell() -> None:
    assert client_row("tcp", (), (), snapshot()) is None


def connected(number: int, state: str = "ESTABLISHED", protocol: str = "tcp") -> Port:
    found = port(number, groups=(build.group(state, "10.0.0.1", 1, with_fd=1),))
    return found._replace(protocol="udp") if protocol == "udp" else found


LISTENER = (socket("LISTEN", "0.0.0.0", 40_000),)


@pytest.mark.parametrize(
    ("found", "unfolded", "folded"),
    [
        (connected(40_000), True, False),  # once they are told apart, the rest are others
        (connected(40_000, protocol="udp"), True, True),
        (connected(40_000, "SYN_SENT"), True, False),
        (connected(123, protocol="udp"), False, False),
        (connected(8080), False, False),
        (connected(40_000)._replace(listeners=LISTENER), False, False),
        (connected(40_000)._replace(bound=LISTENER), False, False),
        (connected(40_000, "TIME_WAIT"), False, False),  # that of a dead server, perhaps
        (connected(40_000, "FIN_WAIT1"), False, False),
        (port(40_000, half_open=1), False, False),
    ],
)
def test_what_is_a_clients_alone(found: Port, *, unfolded: bool, folded: bool) -> None:
    told = snapshot()
    untold = dataclasses.replace(told, clients=Clients())
    assert [is_client(found, untold), is_client(found, told)] == [unfolded, folded]
    assert not is_client(found, dataclasses.replace(untold, facts=HostFacts()))


def test_ports_that_were_not_folded_belong_to_the_row_too() -> None:
    udp = [connected(number, protocol="udp") for number in (40_000, 40_001)]
    found = client_row("udp", udp, (), snapshot())
    assert found is not None
    assert found.text() == "client ports: 2, under 1 % of the range"
