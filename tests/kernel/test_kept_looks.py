"""Looks of one reader: a port is the same object until something on it changes."""

from __future__ import annotations

import random
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from sockwatch.kernel import tables
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import Port, Protocol, Snapshot
from sockwatch.model.ports import NO_TIME_WAIT
from tests.support.child import idle_child
from tests.support.privilege import REAL_ROOT
from tests.support.sample import SEED
from tests.support.tools import need

FIRST = 8000
Key = tuple[Protocol, int]


@pytest.fixture
def reader(netns: None) -> Iterator[SnapshotReader]:
    if not REAL_ROOT:
        pytest.skip("needs root")
    with SnapshotReader() as reader:
        yield reader


def listening(number: int, *, reuseport: bool = False) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(reuseport))
    sock.bind(("127.0.0.1", number))
    sock.listen(64)
    return sock


def bound(number: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    sock = socket.socket(type=kind)
    sock.bind(("127.0.0.1", number))
    return sock


def connected(number: int) -> socket.socket:
    """A connection that leaves no TIME_WAIT, whose clock would go on."""
    sock = socket.create_connection(("127.0.0.1", number))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return sock


def renewed(before: Snapshot, after: Snapshot) -> set[Key]:
    """The ports that are not those of the look before, and those that have gone."""
    same = {port.key for port in after.ports if port is before.port(*port.key)}
    return {port.key for port in (*before.ports, *after.ports)} - same


def settled(reader: SnapshotReader) -> Snapshot:
    """The second look has read the flags from where the next ones will."""
    reader.take()
    return reader.take()


@pytest.mark.parametrize("way", ["bpf", "dump", "columns"])
def test_a_quiet_look_gives_the_same_ports(
    way: str, reader: SnapshotReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way != "bpf":
        reader._bpf.give_up("not wanted")
    if way == "columns":
        monkeypatch.setattr(tables, "MANY", -1)
    with ExitStack() as stack:
        servers = [stack.enter_context(listening(FIRST + n, reuseport=n > 2)) for n in range(5)]
        stack.enter_context(bound(FIRST + 10))
        stack.enter_context(bound(FIRST, socket.SOCK_DGRAM))
        stack.enter_context(connected(FIRST))
        stack.enter_context(servers[0].accept()[0])
        stack.enter_context(idle_child())  # it holds all of them too
        before = settled(reader)
        after = reader.take()
    assert len(after.ports) == 7
    assert renewed(before, after) == set()
    assert (after.clients, after.gaps) == (before.clients, before.gaps)


def test_what_changes_makes_its_port_anew(reader: SnapshotReader) -> None:
    with ExitStack() as stack:
        server, other = (stack.enter_context(listening(FIRST + n, reuseport=True)) for n in (0, 1))
        stack.enter_context(bound(FIRST, socket.SOCK_DGRAM))

        def unset() -> None:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)

        changes: dict[str, Callable[[], object]] = {
            "listener": lambda: stack.enter_context(listening(FIRST, reuseport=True)),
            "bound socket": lambda: stack.enter_context(bound(FIRST + 2)),
            "queue": lambda: stack.enter_context(connected(FIRST + 1)),
            "connection": lambda: stack.enter_context(other.accept()[0]),
            "holder": lambda: stack.enter_context(server.dup()),
            "flag": unset,
        }
        expected: dict[str, Key] = dict.fromkeys(changes, ("tcp", FIRST))
        expected |= {
            "bound socket": ("tcp", FIRST + 2),
            "queue": ("tcp", FIRST + 1),
            "connection": ("tcp", FIRST + 1),
        }
        before = settled(reader)
        for name, change in changes.items():
            change()
            after = reader.take()
            assert renewed(before, after) == {expected[name]}, name
            before = after


def test_an_interface_that_is_renamed_makes_its_port_anew(reader: SnapshotReader) -> None:
    need("ip")
    with listening(FIRST), socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        sock.bind(("127.0.0.1", FIRST + 1))
        sock.listen()
        before = settled(reader)
        for change in (("down",), ("name", "other")):
            subprocess.run(["ip", "link", "set", "lo", *change], check=True)
        after = reader.take()
        assert renewed(before, after) == {("tcp", FIRST + 1)}
        assert [s.device for port in after.ports for s in port.listeners] == [None, "other"]


class Random:
    """Random changes of sockets on a few ports."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._draw = random.Random(SEED)  # noqa: S311 - no secret
        self._servers: list[socket.socket] = []
        self._others: list[socket.socket] = []

    def change(self) -> None:
        number = FIRST + self._draw.randrange(4)
        change = self._draw.choice(
            (self._listen, self._bind, self._connect, self._accept, self._flag, self._close)
        )
        change(number)

    def _listen(self, number: int) -> None:
        self._servers.append(self._stack.enter_context(socket.socket()))
        self._servers[-1].setblocking(False)
        with suppress(OSError):
            self._servers[-1].bind(("127.0.0.1", number))
            self._servers[-1].listen(64)

    def _bind(self, number: int) -> None:
        kind = self._draw.choice((socket.SOCK_STREAM, socket.SOCK_DGRAM))
        self._others.append(self._stack.enter_context(socket.socket(type=kind)))
        with suppress(OSError):
            self._others[-1].bind(("127.0.0.1", number))

    def _connect(self, number: int) -> None:
        with suppress(OSError):
            self._others.append(self._stack.enter_context(connected(number)))

    def _accept(self, _: int) -> None:
        if self._servers:
            with suppress(OSError):
                sock = self._draw.choice(self._servers).accept()[0]
                self._others.append(self._stack.enter_context(sock))

    def _flag(self, _: int) -> None:
        if self._servers:
            option = self._draw.choice((socket.SO_REUSEADDR, socket.SO_REUSEPORT))
            value = self._draw.randrange(2)
            self._draw.choice(self._servers).setsockopt(socket.SOL_SOCKET, option, value)

    def _close(self, _: int) -> None:
        for sockets in (self._servers, self._others):
            if sockets:
                sockets.pop(self._draw.randrange(len(sockets))).close()


def without_clocks(ports: tuple[Port, ...]) -> list[Port]:
    """The ports with what does not differ from one moment to the next."""
    return [
        port._replace(
            time_wait=NO_TIME_WAIT,
            groups=tuple(
                sorted(
                    (
                        group._replace(first_frees_in_s=None, last_frees_in_s=None)
                        for group in port.groups
                    ),
                    key=repr,
                )
            ),
        )
        for port in ports
    ]


def test_kept_looks_equal_fresh_ones(reader: SnapshotReader) -> None:
    def fresh() -> tuple[Port, ...]:
        other = SnapshotReader()
        other._bpf = reader._bpf  # the programs are not loaded anew
        return other.take().ports

    with ExitStack() as stack:
        changes = Random(stack)
        reader.take()
        compared = 0
        for _ in range(40):
            changes.change()
            before, kept, after = fresh(), reader.take().ports, fresh()
            # Else the kernel has not yet finished what was asked of it.
            if without_clocks(before) == without_clocks(after):
                assert without_clocks(kept) == without_clocks(after)
                compared += 1
        assert compared > 20


def test_memory_is_that_of_one_look(reader: SnapshotReader) -> None:
    with listening(FIRST):
        for number in range(FIRST + 1, FIRST + 31):
            with listening(number):
                reader.take()
        reader.take()
    parts = reader._kept
    assert [len(parts.rows), len(parts.servers), len(parts.ports)] == [1, 2, 1]
