"""Owners and snapshots as short as a test wants them."""

from __future__ import annotations

from typing import Any

from sockwatch.bind import BindRequest
from sockwatch.model import (
    HostFacts,
    Link,
    OwnAddress,
    ReuseFlags,
    Route,
    RouteTable,
    Snapshot,
    Socket,
    SocketGroup,
)
from tests.bind.oracle import snapshot_of
from tests.support import build

FACTS = HostFacts(
    uid=1000,
    net_bind_service=False,
    unprivileged_port_start=1024,
    ipv6=True,
    bindv6only=False,
    nonlocal_bind_ipv4=False,
    nonlocal_bind_ipv6=False,
    port_range=(32768, 60999),
    autobind_reuse=False,
    ipv4_tables=(
        RouteTable(
            255,
            (
                Route("127.0.0.0/8", "lo"),
                Route("10.1.2.3/32", "eth0"),
                Route("10.1.2.255/32", "eth0", "broadcast"),
            ),
        ),
    ),
    ipv6_addresses=(
        OwnAddress("::1", "lo"),
        OwnAddress("2001:db8::5", "eth0"),
        OwnAddress("2001:db8::6", "eth0", tentative=True),
        OwnAddress("fe80::1", "eth0"),
    ),
    links=(Link("lo"), Link("eth0"), Link("eth1")),
)
UNKNOWN = (None, None)


def socket(
    state: str = "LISTEN",
    address: str = "0.0.0.0",
    flags: tuple[bool | None, bool | None] = (False, False),
    **changes: Any,
) -> Socket:
    """A socket of user 1000 on port 8080, whose flags are known."""
    v6only = changes.pop("v6only", True if ":" in address else None)
    made = build.socket(state, address, 8080, flags=ReuseFlags(*flags), v6only=v6only, uid=1000)
    return made._replace(**changes)


def group(
    state: str = "TIME_WAIT",
    address: str = "127.0.0.1",
    flags: tuple[bool | None, bool | None] = (False, False),
    count: int = 1,
    **changes: Any,
) -> SocketGroup:
    """Connections of user 1000; a TIME_WAIT has no user and 41 s to go."""
    clock, uid = ((41.0, 41.0), None) if state == "TIME_WAIT" else (None, 1000)
    made = build.group(state, address, count, clock=clock, uid=uid, flags=ReuseFlags(*flags))
    return made._replace(**changes)


def snapshot(*owners: Socket | SocketGroup, kernel: str = "6.18.44", **changes: Any) -> Snapshot:
    """A host on whose TCP port 8080 these sockets are."""
    sockets = [owner for owner in owners if isinstance(owner, Socket)]
    port = build.port(
        8080,
        listeners=tuple(sock for sock in sockets if sock.state != "BOUND"),
        bound=tuple(sock for sock in sockets if sock.state == "BOUND"),
        groups=tuple(owner for owner in owners if isinstance(owner, SocketGroup)),
    )
    return snapshot_of(port._replace(**changes), kernel=kernel)


def request(
    address: str = "0.0.0.0", flags: tuple[bool, bool] = (False, False), **changes: Any
) -> BindRequest:
    """A request for TCP port 8080."""
    protocol = changes.pop("protocol", "tcp")
    port = changes.pop("port", 8080)
    return BindRequest(protocol, address, port, reuseaddr=flags[0], reuseport=flags[1], **changes)
