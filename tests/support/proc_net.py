"""What /proc/net shows of a port, beside what sock_diag does."""

from __future__ import annotations

from pathlib import Path

import pytest

from sockwatch.kernel.ports import PortParts, make_port
from sockwatch.kernel.proc_net import FILES, ProcNetRows
from sockwatch.model import UNKNOWN_FLAGS, Port, Protocol, Socket, SocketGroup

CLOCK_SLACK_S = 2.0  # between the two looks


def port_of_proc_net(protocol: Protocol, number: int) -> Port:
    """The port in this thread's network namespace, without holders."""
    rows = ProcNetRows(protocol, number)
    for name, family in FILES[protocol].items():
        rows.feed(family, Path(f"/proc/thread-self/net/{name}").read_bytes())
    table = rows.owners({})
    parts = (table.sockets.get(number, ()), tuple(table.groups[number]))
    return make_port(
        protocol, number, PortParts(*parts, table.half_open[number], table.connections)
    )


def assert_shows_the_same(port: Port) -> None:
    """/proc/net shows all of it but what proc_net.py says that it lacks."""
    seen = port_of_proc_net(port.protocol, port.number)
    assert port.connections is not None
    assert seen.connections is not None
    assert set(map(_plain, seen.listeners)) == set(map(_plain, port.listeners))
    assert set(map(_plain, seen.connections)) == set(map(_plain, port.connections))
    assert set(map(_plain_group, seen.groups)) == set(map(_plain_group, port.groups))
    assert (seen.half_open, seen.orphans, seen.unaccepted) == (
        port.half_open,
        port.orphans,
        port.unaccepted,
    )
    assert seen.bound == ()
    assert seen.time_wait.count == port.time_wait.count
    for clock in ("first_frees_in_s", "last_frees_in_s"):
        assert getattr(seen.time_wait, clock) == pytest.approx(
            getattr(port.time_wait, clock), abs=CLOCK_SLACK_S
        )


def _plain(sock: Socket) -> Socket:
    return sock._replace(
        device=None,
        v6only=None,
        cookie=0,
        backlog=None if sock.state == "LISTEN" else sock.backlog,
        frees_in_s=None if sock.frees_in_s is None else 0.0,
        flags=UNKNOWN_FLAGS,
        holders=(),
        freebind=None,
        automatic=None,
        drops=None,
    )


def _plain_group(group: SocketGroup) -> SocketGroup:
    return group._replace(
        v6only=None,
        first_frees_in_s=None,
        last_frees_in_s=None,
        flags=UNKNOWN_FLAGS,
        holders=(),
        automatic=None,
        unread=None,
        unacknowledged=None,
    )
