"""Reuse flags of sockets in every state, by each way that can tell them."""

from __future__ import annotations

import array
import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import sockwatch
from sockwatch.kernel import host
from sockwatch.kernel.proc.reuse_flags import Memory
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import (
    FlagCounts,
    GapCode,
    Port,
    Process,
    Protocol,
    ReuseFlags,
    Socket,
    SocketOptions,
)
from tests.support.child import become, in_child
from tests.support.privilege import HAS_TASK_FILES, REAL_ROOT
from tests.support.seccomp import refuse
from tests.support.time_waits import make_time_waits
from tests.support.waiting import wait_until

ADDR, PORT = socket.SO_REUSEADDR, socket.SO_REUSEPORT
PAIRS = [(False, False), (False, True), (True, False), (True, True)]
CONTEXT = ("cwd", "ancestors", "namespaces", "is_first", "ignores_sigterm")
WAYS = [
    pytest.param(
        "bpf", marks=pytest.mark.skipif(not REAL_ROOT, reason="BPF iterators need real root")
    ),
    "pidfd_getfd",
]


@pytest.fixture
def reader(netns: None, request: pytest.FixtureRequest) -> Iterator[SnapshotReader]:
    """A reader that has the way `way` and none that is better."""
    with SnapshotReader() as reader:
        if request.node.callspec.params["way"] != "bpf":
            reader._bpf.give_up("switched off by the test")
        yield reader


def set_flags(sock: socket.socket, flags: tuple[bool, bool]) -> None:
    sock.setsockopt(socket.SOL_SOCKET, ADDR, flags[0])
    sock.setsockopt(socket.SOL_SOCKET, PORT, flags[1])


def listener(flags: tuple[bool, bool], number: int = 8080) -> socket.socket:
    sock = socket.socket()
    set_flags(sock, flags)
    sock.bind(("127.0.0.1", number))
    sock.listen(9)
    return sock


def connection(server: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = socket.create_connection(server.getsockname())
    return client, server.accept()[0]


def look(reader: SnapshotReader, number: int = 8080, protocol: Protocol = "tcp") -> Port:
    alone, whole = (reader.take(only).port(protocol, number) for only in (number, None))
    assert alone is not None
    assert whole is not None
    # Who chose the port, and what surrounds its holders, is asked of one port only.
    listeners = [without_context(sock._replace(automatic=None)) for sock in alone.listeners]
    assert sorted(map(str, whole.listeners)) == sorted(map(str, listeners))
    return alone


def without_context(sock: Socket) -> Socket:
    """The socket as a look at all ports has it."""
    nothing = {name: Process._field_defaults[name] for name in CONTEXT}
    holders = (
        holder._replace(process=holder.process._replace(**nothing))
        for holder in sock.holders
        if holder.process is not None
    )
    return sock._replace(holders=tuple(holders))


def state_flags(port: Port, state: str) -> set[ReuseFlags]:
    """The flags of the groups in that state, which must be those of the sockets in it."""
    assert port.connections is not None
    groups = {group.flags for group in port.groups if group.state == state}
    assert groups == {sock.flags for sock in port.connections if sock.state == state}
    return groups


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flags", PAIRS)
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_bound_sockets_and_flags_changed_after_bind(
    reader: SnapshotReader, protocol: Protocol, flags: tuple[bool, bool], way: str
) -> None:
    by_fds = way == "bpf" and HAS_TASK_FILES
    if protocol == "tcp" and not (by_fds or host.lists_bound_sockets()):
        pytest.skip("bound sockets cannot be seen here")
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as sock:
        set_flags(sock, flags)
        sock.bind(("127.0.0.1", 8080))
        for wanted in (flags, (not flags[0], flags[1]), (flags[0], not flags[1])):
            set_flags(sock, wanted)
            port = look(reader, protocol=protocol)
            (found,) = port.bound if protocol == "tcp" else port.listeners
            assert found.flags == ReuseFlags(*wanted, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flags", PAIRS)
def test_accepted_connections_inherit(
    reader: SnapshotReader, flags: tuple[bool, bool], way: str
) -> None:
    with listener(flags) as server:
        client, accepted = connection(server)
        with client, accepted:
            port = look(reader)
            assert port.listeners[0].flags == ReuseFlags(*flags, way)
            (found,) = state_flags(port, "ESTABLISHED")
            assert found[:2] == flags
            # What the listener gets later, its connections do not.
            set_flags(server, (not flags[0], not flags[1]))
            port = look(reader)
            assert port.listeners[0].flags[:2] == (not flags[0], not flags[1])
            assert {each[:2] for each in state_flags(port, "ESTABLISHED")} == {flags}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flags", PAIRS)
def test_time_waits(reader: SnapshotReader, flags: tuple[bool, bool], way: str) -> None:
    with listener(flags) as server:
        client, accepted = connection(server)
        look(reader)  # the way that needs an fd sees the connection while it has one
        accepted.close()
        client.close()
        port = look(reader)
        (found,) = state_flags(port, "TIME_WAIT")
        assert found == ReuseFlags(*flags, "bpf" if way == "bpf" else "remembered")
        assert port.time_wait.reuseaddr == FlagCounts(int(flags[0]), int(not flags[0]), 0)
        assert port.time_wait.reuseport == FlagCounts(int(flags[1]), int(not flags[1]), 0)


@pytest.mark.parametrize("way", ["bpf"])
@pytest.mark.skipif(not REAL_ROOT, reason="BPF iterators need real root")
def test_each_time_wait_has_its_own_flags(reader: SnapshotReader, way: str) -> None:
    """Those of one address look alike in the kernel's table, and these differ in their flags."""
    with listener((True, False)) as server:
        wanted = {}
        for flags in (*PAIRS, *PAIRS):
            client, accepted = connection(server)
            set_flags(accepted, flags)
            wanted[client.getsockname()[1]] = flags
            accepted.close()
            client.close()
        port = look(reader)
        assert len(state_flags(port, "TIME_WAIT")) == len(PAIRS)
        of_each = {sock.peer_port: sock.flags[:2] for sock in port.connections or ()}
        assert of_each == wanted


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_that_was_never_seen_open(reader: SnapshotReader, way: str) -> None:
    with listener((True, False)) as server:
        client, accepted = connection(server)
        accepted.close()
        client.close()
        clock = look(reader).time_wait
        assert clock.reuseaddr == (FlagCounts(yes=1) if way == "bpf" else FlagCounts(unknown=1))


@pytest.mark.parametrize("way", WAYS)
def test_an_unaccepted_connection(reader: SnapshotReader, way: str) -> None:
    with listener((True, False)) as server, socket.create_connection(server.getsockname()):
        (found,) = state_flags(look(reader), "ESTABLISHED")
        # It has no fd, and what its listener has now need not be what it had then.
        assert found == (ReuseFlags(True, False, way) if way == "bpf" else ReuseFlags())


@pytest.mark.parametrize("way", WAYS)
def test_a_socket_in_flight(reader: SnapshotReader, way: str) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with left, right:
        server = listener((True, True))
        rights = array.array("i", [server.fileno()])
        left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        server.close()
        (found,) = look(reader).listeners
        assert found.holders == ()
        assert found.flags == (ReuseFlags(True, True, "bpf") if way == "bpf" else ReuseFlags())


@pytest.mark.parametrize("way", WAYS)
def test_v6only_of_connections(reader: SnapshotReader, way: str) -> None:
    """sock_diag hides it there, and it decides whether 0.0.0.0 is blocked."""
    for v6only in (False, True):
        with socket.socket(socket.AF_INET6) as server:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
            server.setsockopt(socket.SOL_SOCKET, ADDR, 1)
            server.bind(("::", 8080))
            server.listen()
            with socket.create_connection(("::1", 8080)), server.accept()[0]:
                port = look(reader)
                assert {g.v6only for g in port.groups if g.state == "ESTABLISHED"} == {v6only}


@pytest.mark.parametrize("way", ["bpf"])
@pytest.mark.skipif(not REAL_ROOT, reason="BPF iterators need real root")
def test_many_time_waits_are_counted_in_the_kernel(reader: SnapshotReader, way: str) -> None:
    with ExitStack() as stack:
        ports = make_time_waits(3000, 7, stack)
        # The last client's FIN may still be under way.
        wait_until(lambda: sum(p.time_wait.count for p in reader.take().ports) == 3000)
        found = [reader.take().port("tcp", number) for number in ports]
        assert [port.time_wait.count for port in found if port] == [429] * 4 + [428] * 3
        for port in found:
            assert port is not None
            assert port.time_wait.reuseaddr == FlagCounts(yes=port.time_wait.count)
            assert port.time_wait.reuseport == FlagCounts(no=port.time_wait.count)
            assert 0 < (port.time_wait.first_frees_in_s or 0) <= 60


@pytest.mark.skipif(not REAL_ROOT, reason="needs root to become somebody else")
def test_without_any_way_the_flags_are_unknown(netns: None) -> None:
    def sandboxed() -> sockwatch.Snapshot:
        refuse("bpf")
        refuse("pidfd_getfd")
        return sockwatch.take_snapshot()

    with listener((True, False)):
        snapshot = in_child(sandboxed)
        assert snapshot.ports[0].listeners[0].flags == ReuseFlags()
        gaps = {gap.code: gap.text for gap in snapshot.gaps}
        assert "seccomp" in gaps[GapCode.FLAGS_UNKNOWN]


@pytest.mark.skipif(not REAL_ROOT, reason="needs root to become somebody else")
def test_bpf_refused_by_seccomp_leaves_the_next_way(netns: None) -> None:
    def sandboxed() -> sockwatch.Snapshot:
        refuse("bpf", errno.ENOSYS)
        return sockwatch.take_snapshot()

    with listener((True, False)):
        assert in_child(sandboxed).ports[0].listeners[0].flags == ReuseFlags(
            True, False, "pidfd_getfd"
        )


@pytest.mark.skipif(not REAL_ROOT, reason="needs root to become somebody else")
def test_an_ordinary_user_knows_its_own(netns: None) -> None:
    with listener((False, True)) as foreign:

        def as_user() -> tuple[ReuseFlags, ReuseFlags, FlagCounts]:
            foreign.close()
            become(1234)
            with SnapshotReader() as reader, listener((True, False), 8081) as own:
                client, accepted = connection(own)
                first = reader.take()
                accepted.close()
                client.close()
                second = reader.take().port("tcp", 8081)
                mine, other = first.port("tcp", 8081), first.port("tcp", 8080)
                assert mine is not None
                assert other is not None
                assert second is not None
                return mine.listeners[0].flags, other.listeners[0].flags, second.time_wait.reuseaddr

        own_flags, foreign_flags, waiting = in_child(as_user)
        assert own_flags == ReuseFlags(True, False, "pidfd_getfd")
        assert foreign_flags == ReuseFlags()
        assert waiting == FlagCounts(yes=1)


@pytest.mark.parametrize("way", WAYS)
def test_looking_while_2000_connections_a_second_come_and_go(
    reader: SnapshotReader, way: str
) -> None:
    for _ in range(2):  # the second look opens one iterator more
        reader.take()
    before = sorted(os.listdir("/proc/self/fd"))
    stop = threading.Event()
    made = 0

    def churn(server: socket.socket) -> None:
        nonlocal made
        while not stop.is_set():
            client, accepted = connection(server)
            accepted.close()
            client.close()
            made += 1

    with listener((True, False)) as server:
        worker = threading.Thread(target=churn, args=(server,))
        worker.start()
        looks = 0
        while made < 2000 or looks < 20:
            port = reader.take(8080 if looks % 2 else None).port("tcp", 8080)
            assert port is not None
            assert port.listeners[0].flags == ReuseFlags(True, False, way)
            looks += 1
        stop.set()
        worker.join()
        clock = look(reader).time_wait
        assert clock.reuseaddr.no == 0
        assert clock.reuseaddr.yes + clock.reuseaddr.unknown == clock.count
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("way", WAYS)
def test_three_hundred_looks_leave_nothing_open(reader: SnapshotReader, way: str) -> None:
    others = bpf_fds()  # of a reader that an earlier test has not closed
    with listener((True, False)):
        for _ in range(2):  # the second look opens one iterator more
            reader.take()
        before = sorted(os.listdir("/proc/self/fd"))
        for number in range(300):
            reader.take(8080 if number % 2 else None)
        assert sorted(os.listdir("/proc/self/fd")) == before
        reader.close()
        assert bpf_fds() <= others


def bpf_fds() -> set[str]:
    """The fds of this process that BPF programs, maps and links are behind."""
    return {fd for fd in os.listdir("/proc/self/fd") if "bpf" in _target(fd)}


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


@pytest.mark.parametrize("way", WAYS)
def test_flags_changed_on_a_connection_are_those_of_its_time_wait(
    reader: SnapshotReader, way: str
) -> None:
    """A program may set them at any time, so what is remembered is read again."""
    server = listener((False, False))
    client, accepted = connection(server)
    reader.take()
    set_flags(accepted, (True, False))
    reader.take()
    accepted.close()
    client.close()
    (flags,) = state_flags(look(reader), "TIME_WAIT")
    assert flags[:2] == (True, False)
    server.close()


def test_those_read_longest_ago_are_read_first() -> None:
    memory = Memory()
    options = SocketOptions(ReuseFlags(True, False))
    for cookie in (1, 2, 3, 1):
        memory.keep({cookie: options})
    assert memory.oldest({1, 2, 3}, 2) == {2, 3}
    assert memory.oldest({1, 3}, 2) == {1, 3}
    assert memory.oldest(set(), 2) == set()
