"""Who holds connections that were only counted: by each way of looking, the same."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from sockwatch.kernel import tables
from sockwatch.kernel.bpf import reader as bpf_reader
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.iterators import SocketIterators
from sockwatch.kernel.proc.processes import ProcessNames
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import ClientGroup, ReuseFlags, Snapshot, SocketGroup
from tests.support.child import become, idle_child, in_child
from tests.support.privilege import REAL_ROOT, needs_task_files
from tests.support.time_waits import make_time_waits

pytestmark = pytest.mark.skipif(not REAL_ROOT, reason="needs processes of other users")

SERVER, PORT, USER = "127.0.0.1", 8000, 12_345
MPTCP = 262
IP_BIND_ADDRESS_NO_PORT = 24


class Held(NamedTuple):
    """A group of connections and who holds it."""

    address: str
    port: int | None  # None for client ports
    uid: int | None
    sockets: int
    pids: frozenset[int]


def held(snapshot: Snapshot) -> set[Held]:
    groups: list[tuple[int | None, SocketGroup | ClientGroup]] = []
    groups += [(None, group) for group in snapshot.clients.groups]
    groups += [(port.number, group) for port in snapshot.ports for group in port.groups]
    return {
        Held(group.address, number, group.uid, group.count, frozenset(h.pid for h in group.holders))
        for number, group in groups
        if group.state == "ESTABLISHED"
    }


BY_BPF = [
    pytest.param("bpf", marks=needs_task_files),
    pytest.param("map is full", marks=needs_task_files),
]


@pytest.fixture(params=[*BY_BPF, "dump", "columns", "before 5.11"])
def reader(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SnapshotReader]:
    with SnapshotReader() as reader:
        if request.param in ("dump", "columns"):
            reader._bpf.give_up("not wanted")
        elif request.param == "before 5.11" and reader._bpf.ready():
            assert reader._bpf._iterators is not None
            reader._bpf._iterators._task_file.fail(BpfUnavailable("old-kernel", "as a test wants"))
        elif request.param == "map is full":
            reader._bpf._iterators = SocketIterators(entries=2)
        if request.param == "columns":
            monkeypatch.setattr(tables, "MANY", -1)
        yield reader


def dialling(*sources: str, uid: int = 0, protocol: int = 0) -> Callable[[], None]:
    """A function for a child: connections from these addresses, kept."""

    def dial() -> None:
        if uid:
            become(uid)
        for source in sources:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
            sock.connect((SERVER, PORT))
            kept.append(sock)

    return dial


kept: list[socket.socket] = []  # by the children


def listening(protocol: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    sock.bind((SERVER, PORT))
    sock.listen(4096)
    return sock


def test_by_user_and_by_own_address(netns: None, reader: SnapshotReader) -> None:
    """All lead to one destination, and none is held by a process of the others."""
    with ExitStack() as stack:
        listener = stack.enter_context(listening())
        first, second, third = (
            stack.enter_context(idle_child(dialling(*sources, uid=uid)))
            for sources, uid in (
                (["127.0.0.2", "127.0.0.2"], 0),
                (["127.0.0.3"], 0),
                (["127.0.0.2"], USER),
            )
        )
        for _ in range(4):
            stack.enter_context(listener.accept()[0])
        assert held(reader.take()) == {
            Held("127.0.0.2", None, 0, 2, frozenset({first})),
            Held("127.0.0.3", None, 0, 1, frozenset({second})),
            Held("127.0.0.2", None, USER, 1, frozenset({third})),
            Held(SERVER, PORT, 0, 4, frozenset({os.getpid()})),
        }


def test_accepted_by_processes_of_two_users(netns: None, reader: SnapshotReader) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(listening())

        def accept(uid: int) -> None:
            if uid:
                become(uid)
            kept.append(listener.accept()[0])

        for _ in range(3):
            stack.enter_context(socket.create_connection((SERVER, PORT)))
        first, second = (
            stack.enter_context(idle_child(lambda uid=uid: accept(uid)))  # type: ignore[misc]
            for uid in (0, USER)
        )
        accepted, _ = listener.accept()
        both = stack.enter_context(idle_child())
        stack.enter_context(accepted)
        own = {group for group in held(reader.take()) if group.port == PORT}
        assert own == {
            Held(SERVER, PORT, 0, 2, frozenset({os.getpid(), first, both})),
            Held(SERVER, PORT, USER, 1, frozenset({second})),
        }


def test_multipath_connections(netns: None, reader: SnapshotReader) -> None:
    try:
        listener = listening(MPTCP)
        listener.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    except OSError:
        pytest.skip("this kernel has no MPTCP, or lets no bind() of it choose an address alone")
    with listener, ExitStack() as stack:
        client = stack.enter_context(idle_child(dialling("127.0.0.2", uid=USER, protocol=MPTCP)))
        stack.enter_context(listener.accept()[0])
        assert {(group.port, group.pids) for group in held(reader.take())} == {
            (None, frozenset({client})),
            (PORT, frozenset({os.getpid()})),
        }


@needs_task_files
def test_more_destinations_than_are_told_apart(
    netns: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the rest are still known to be held."""
    monkeypatch.setattr("sockwatch.kernel.bpf.rows.MOST_DESTINATIONS", 1)
    with SnapshotReader() as reader, ExitStack() as stack:
        stack.enter_context(listening())
        other = stack.enter_context(socket.create_server(("127.0.0.1", PORT + 1)))
        children = {stack.enter_context(idle_child(dialling("127.0.0.1"))) for _ in range(2)}
        stack.enter_context(socket.create_connection(other.getsockname()))
        groups = reader.take().clients.groups
        pids = {group.peer_port: {h.pid for h in group.holders} for group in groups}
        assert set().union(*pids.values()) == {os.getpid(), *children}
        assert None in pids
        assert all(pids.values())


def test_how_many_are_held_by_somebody_hidden(netns: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait for accept() have no fd, so they lack no holder."""
    monkeypatch.setattr(tables, "MANY", -1)

    def look() -> list[str]:
        SnapshotReader().take()  # imports what a user may not reach
        become(USER)
        return [gap.text for gap in SnapshotReader().take().gaps]

    def serve() -> None:
        listener = listening()
        kept.extend(socket.create_connection((SERVER, PORT)) for _ in range(5))
        kept.extend((listener, *(listener.accept()[0] for _ in range(2))))

    with idle_child(serve):
        texts = in_child(look)
        assert any(": 8 sockets have no known holder" in text for text in texts), texts


@needs_task_files
@pytest.mark.parametrize("many", [0, 100])
def test_the_first_look_asks_iter_task_where_there_are_many_processes(
    netns: None, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(bpf_reader, "MANY_HOLDERS", many)
    seen: list[object] = []
    identify_all = ProcessNames.identify_all

    def note(names: ProcessNames, pids: set[int], records: object) -> object:
        seen.append(records)
        return identify_all(names, pids, records)  # type: ignore[arg-type]

    monkeypatch.setattr(ProcessNames, "identify_all", note)
    with socket.create_server((SERVER, PORT)), SnapshotReader() as reader:
        first, second = reader.take(), reader.take()
    assert [records is not None for records in seen] == [many == 0, True]
    assert first.ports[0].holders == second.ports[0].holders


def test_flags_of_what_has_no_fd_are_known_without_holders(netns: None) -> None:
    """Before 5.11 the kernel's iterators show all sockets, and not who holds them."""
    with SnapshotReader() as reader, ExitStack() as stack:
        assert reader._bpf.ready()
        assert reader._bpf._iterators is not None
        reader._bpf._iterators._task_file.fail(BpfUnavailable("old-kernel", "as a test wants"))
        make_time_waits(5, 1, stack, keep_open=3)
        (port,) = (port for port in reader.take().ports if port.listeners)
        counts = {group.state: group.count for group in port.groups}
        assert counts == {"TIME_WAIT": 5, "ESTABLISHED": 3}
        assert {group.flags for group in port.groups} == {ReuseFlags(True, False, "bpf")}
