"""Owners and snapshots as short as a test wants them."""

from __future__ import annotations

from typing import Any

from sockwatch.bind import BindRequest
from sockwatch.model import HostFacts, OwnAddress, Port, ReuseFlags, Snapshot, Socket, SocketGroup
from tests.bind.oracle import snapshot_of

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
    addresses=(
        OwnAddress("127.0.0.0/8", "lo"),
        OwnAddress("::1/128", "lo"),
        OwnAddress("10.1.2.3/32", "eth0"),
        OwnAddress("10.1.2.255/32", "eth0"),
        OwnAddress("2001:db8::5/128", "eth0"),
        OwnAddress("2001:db8::6/128", "eth0", tentative=True),
        OwnAddress("fe80::1/128", "eth0"),
    ),
    devices=frozenset({"lo", "eth0", "eth1"}),
)
UNKNOWN = (None, None)


def socket(
    state: str = "LISTEN",
    address: str = "0.0.0.0",
    flags: tuple[bool | None, bool | None] = (False, False),
    **changes: Any,
) -> Socket:
    one = Socket(
        "tcp", "ipv6" if ":" in address else "ipv4", state, address, 8080, None, None, None,
        changes.pop("v6only", True if ":" in address else None), 1000, 1, 1, mini=False,
        queue=None, backlog=None, frees_in_s=None, flags=ReuseFlags(*flags),
    )  # fmt: skip
    return one._replace(**changes)


def group(
    state: str = "TIME_WAIT",
    address: str = "127.0.0.1",
    flags: tuple[bool | None, bool | None] = (False, False),
    count: int = 1,
    **changes: Any,
) -> SocketGroup:
    mini = state == "TIME_WAIT"
    seconds = 41.0 if mini else None
    one = SocketGroup(
        "ipv6" if ":" in address else "ipv4", state, mini, address, None, None,
        None if mini else 1000, count, (), seconds, seconds, ReuseFlags(*flags),
    )  # fmt: skip
    return one._replace(**changes)


def snapshot(*owners: Socket | SocketGroup, kernel: str = "6.18.44", **changes: Any) -> Snapshot:
    sockets = [o for o in owners if isinstance(o, Socket)]
    port = Port(
        "tcp",
        8080,
        {},
        tuple(s for s in sockets if s.state != "BOUND"),
        tuple(s for s in sockets if s.state == "BOUND"),
        tuple(o for o in owners if isinstance(o, SocketGroup)),
    )
    return snapshot_of(port._replace(**changes), kernel=kernel)


def request(
    address: str = "0.0.0.0", flags: tuple[bool, bool] = (False, False), **changes: Any
) -> BindRequest:
    protocol = changes.pop("protocol", "tcp")
    port = changes.pop("port", 8080)
    return BindRequest(protocol, address, port, reuseaddr=flags[0], reuseport=flags[1], **changes)
