"""Netlink answers that fail or are cut on their way, injected where they are received."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from sockwatch.kernel.facts import read_facts
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.kernel.sock_diag import netlink
from sockwatch.model import Snapshot
from tests.support.time_waits import make_time_waits

NETLINK_ROUTE, NETLINK_SOCK_DIAG = 0, 4
COUNT = 2_000  # several datagrams
pytestmark = pytest.mark.timeout(60)  # a damaged answer must not keep it waiting

Damage = Callable[[bytes], bytes]


def no_buffer_space(_: bytes) -> bytes:
    raise OSError(errno.ENOBUFS, "No buffer space available")


def cut(data: bytes) -> bytes:
    return data[:-10]


def cut_in_half(data: bytes) -> bytes:
    return data[: len(data) // 2 - 3]  # never between two rows, where nobody could tell


def header_only(data: bytes) -> bytes:
    return data[:16]


def cut_in_the_header(data: bytes) -> bytes:
    return data[:5]


def nothing(_: bytes) -> bytes:
    return b""


DAMAGES = (no_buffer_space, cut, cut_in_half, header_only, cut_in_the_header, nothing)


class Wire:
    """Damages the datagram of that number, once, on sockets of one netlink protocol.

    Only those of this thread count: another one asks for the bound sockets meanwhile.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, damage: Damage, protocol: int) -> None:
        self.number: int | None = None
        self.seen = 0

        thread = threading.get_ident()

        def damaged(sock: socket.socket) -> bytes:
            data = receive(sock)
            if sock.proto == protocol and threading.get_ident() == thread:
                self.seen += 1
                if self.seen == self.number:
                    return damage(data)
            return data

        receive = netlink.receive
        monkeypatch.setattr(netlink, "receive", damaged)


def waiting(snapshot: Snapshot) -> int:
    return sum(port.time_wait.count for port in snapshot.ports)


@pytest.mark.parametrize("place", ["first", "second", "last"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_dump_is_a_gap_and_never_fewer_sockets(
    monkeypatch: pytest.MonkeyPatch, netns: None, damage: Damage, place: str
) -> None:
    with ExitStack() as stack, SnapshotReader() as reader:
        make_time_waits(COUNT, 2, stack)
        reader._bpf.give_up("the rows are wanted here")
        wire = Wire(monkeypatch, damage, NETLINK_SOCK_DIAG)
        whole = reader.take()
        assert waiting(whole) == COUNT
        # UDP comes after TCP: an answer for either family, of one datagram each.
        wire.number = {"first": 1, "second": 2, "last": wire.seen - 2}[place]
        wire.seen = 0
        damaged = reader.take()
        assert wire.seen >= wire.number
        assert waiting(damaged) == COUNT
        (gap,) = [gap for gap in damaged.gaps if gap.code == "sock-diag-refused"]
        assert gap.text.startswith(("tcp from /proc/net (sock_diag", "tcp from /proc/net (netlink"))
        assert "Unknown error" not in gap.text
        assert "sandbox" not in (gap.remedy or "")
        wire.number = None
        assert [port.states for port in reader.take().ports] == [p.states for p in whole.ports]


def test_one_damaged_port(monkeypatch: pytest.MonkeyPatch, netns: None) -> None:
    with ExitStack() as stack, SnapshotReader() as reader:
        make_time_waits(COUNT, 2, stack)
        wire = Wire(monkeypatch, cut, NETLINK_SOCK_DIAG)
        wire.number = 1
        snapshot = reader.take(10_000)
        port = snapshot.port("tcp", 10_000)
        assert port is not None
        assert port.connections is not None
        assert len(port.connections) == COUNT // 2
        assert "sock-diag-refused" in {gap.code for gap in snapshot.gaps}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_addresses_that_cannot_be_read_are_unknown(
    monkeypatch: pytest.MonkeyPatch, netns: None, damage: Damage
) -> None:
    wire = Wire(monkeypatch, damage, NETLINK_ROUTE)
    assert read_facts().links
    for number in range(1, wire.seen + 1):
        wire.number, wire.seen = number, 0
        assert read_facts().links is None
