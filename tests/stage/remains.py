"""Situations in which a connection has the port, or what is left of one."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from sockwatch.bind.cause_ids import CauseId
from tests.stage import actors, connections, networks
from tests.stage.actors import start
from tests.stage.calls import Call
from tests.stage.situation import DESTROYS, KILLS, RESERVES, USER, WIDENS, Situation, nothing

PORT_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
ADDR = socket.SO_REUSEADDR


def a_client() -> None:
    Path("/proc/sys/net/ipv4/ip_local_reserved_ports").write_text("8090-8100")
    start("database", actors.listen, "127.0.0.1", 5432)
    start_with_port_40000("client", 5432)


def a_client_of_itself() -> None:
    start_with_port_40000("client", 40000)


def start_with_port_40000(name: str, peer_port: int) -> None:
    """A client for which the kernel chooses the port, as it has no other choice."""
    usual = PORT_RANGE.read_text()
    PORT_RANGE.write_text("40000 40001")
    start(name, connections.connected, peer_port)
    PORT_RANGE.write_text(usual)


def no_port_left() -> None:
    PORT_RANGE.write_text("40000 40003")
    start("server", connections.all_bound, range(40000, 40004))


def an_ipv6_connection() -> None:
    start("server", connections.accepted_of_ipv6)


def connections_with_the_flag() -> None:
    start("server", connections.accepted_only, ADDR)


def connections_without_the_flag() -> None:
    start("server", connections.accepted_only)


def a_leak() -> None:
    start("server", connections.leave_close_wait)
    start("bystander", connections.half_closed, "127.0.0.2")


def time_waits() -> None:
    start("server", connections.leave_time_wait)
    start("bystander", connections.half_closed, "127.0.0.2")


def orphans() -> None:
    start("client", connections.leave_orphan)
    start("bystander", connections.half_closed, "127.0.0.2")
    start("bystander", connections.half_closed, "127.0.0.1", 8081)


def a_full_queue() -> None:
    start("server", connections.unaccepted)


REMAINS: Final = (
    Situation(CauseId.CLIENT_PORT, a_client, Call(port=40000), RESERVES),
    Situation(CauseId.SELF_CONNECT, a_client_of_itself, Call(port=40000), RESERVES),
    Situation(CauseId.NATIVE_IPV6_CONNECTION, an_ipv6_connection, Call("0.0.0.0")),
    Situation(CauseId.REQUEST_LACKS_FLAG, connections_with_the_flag, Call()),
    Situation(CauseId.LEFTOVERS_FLAGS_UNKNOWN, time_waits, asked_by=USER),
    Situation(CauseId.LEFTOVERS_NO_FLAG, connections_without_the_flag, touches=KILLS),
    Situation(CauseId.CLOSE_WAIT, a_leak, touches=KILLS, then="ok"),
    Situation(CauseId.TIME_WAIT_NO_FLAG, time_waits, touches=DESTROYS, then="ok"),
    Situation(CauseId.ORPHANS, orphans, touches=DESTROYS, then="ok"),
    Situation(CauseId.LISTENER, a_full_queue, touches=KILLS, then="ok"),
    Situation(CauseId.RANGE_EXHAUSTED, no_port_left, Call(port=0), WIDENS, "ok"),
    Situation(
        CauseId.REDIRECTED,
        networks.a_redirect,
        then="ok",
        why_only=True,
        needs=networks.need_nft,
    ),
    Situation(CauseId.FREE_IN_RANGE, nothing, Call(port=40000), RESERVES, then="ok", why_only=True),
)
