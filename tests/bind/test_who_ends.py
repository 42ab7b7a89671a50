"""Which processes are supposed to end with a server, and what the others keep."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sockwatch.bind import RestartVerdict, explain_restart
from sockwatch.bind.ending import who_ends
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import Process, Protocol, Service, Socket
from tests.bind.oracle import FIRST_PORT, Shared, Stage
from tests.bind.restarts import Restart, bind_again, foretell, serving
from tests.bind.states import ADDRESSES, TCP_STATES_MADE, UDP_STATES_MADE, Build
from tests.support import build
from tests.support.child import idle_child, in_netns
from tests.support.tools import need

MASTER = build.process(10, "web", parent=1)
WORKERS = tuple(build.process(pid, "web", parent=10) for pid in (11, 12))
LEAK = build.process(13, "sleep", parent=10)
ORPHANS = tuple(build.process(pid, "web", parent=1, age_s=age) for pid, age in ((21, 9), (22, 900)))


def listener(*held_by: Process) -> Socket:
    return build.socket(
        "LISTEN", "0.0.0.0", 8080, flags=build.P, holders=tuple(map(build.holder, held_by))
    )


def ending(*listeners: Socket) -> list[int]:
    return [holder.pid for holder in who_ends(build.port(8080, listeners=listeners))]


def test_nobody_ends_where_nobody_is_seen() -> None:
    assert ending() == ending(listener()) == []


def test_workers_go_with_their_master() -> None:
    assert ending(listener(*WORKERS, MASTER)) == [10, 11, 12]
    assert ending(*(listener(MASTER, worker) for worker in WORKERS)) == [10, 11, 12]


def test_what_inherited_the_socket_goes_on() -> None:
    assert ending(listener(MASTER, LEAK)) == [10]
    assert ending(listener(LEAK)) == [13], "but it ends where it is all there is"
    older = LEAK._replace(pid=3, parent_pid=1)
    assert ending(listener(older), listener(MASTER)) == [10]


def test_workers_without_a_master_that_share_a_socket_are_one_server() -> None:
    assert ending(listener(*ORPHANS)) == [21, 22]


def test_servers_that_share_a_port_are_one_only_by_one_start() -> None:
    old, young = ORPHANS
    assert ending(listener(old), listener(young)) == [21]
    twin = old._replace(pid=22)
    assert ending(listener(old), listener(twin)) == [21, 22]
    assert ending(listener(old), listener(twin._replace(command="web --other"))) == [21]
    assert ending(listener(old), listener(twin._replace(parent_pid=2))) == [21]
    service = Service("web.service", None, 21)
    ours = [each._replace(service=service) for each in ORPHANS]
    assert ending(*map(listener, ours)) == [21, 22]


def test_a_listener_stands_before_a_bound_socket() -> None:
    other = build.process(5, "other", parent=1)
    bound = build.socket("BOUND", "127.0.0.9", 8080, holders=(build.holder(other),))
    port = build.port(8080, listeners=(listener(MASTER),), bound=(bound,))
    assert [holder.pid for holder in who_ends(port)] == [10]


def test_no_server_no_verdict() -> None:
    found = build.snapshot([build.lingering()])
    assert explain_restart(found.ports[0], found) is None


@contextmanager
def stage(protocol: Protocol = "tcp", shared: Shared | None = None) -> Iterator[Stage]:
    made = Stage(protocol, FIRST_PORT, shared or Shared())
    try:
        yield made
    finally:
        made.close()


def restart_first(made: Stage, reader: SnapshotReader, *shares: list[int]) -> Restart:
    """Deal the sockets by their numbers to servers; the first ends."""
    hands = [[made.tracked[i] for i in share] for share in shares]
    with serving([made], *hands) as servers:
        foretold = foretell(made, reader)
        assert foretold is not None
        assert [process.pid for process in foretold.said.ends] == [servers[0].pid]
        servers[0].end("SIGTERM")
        return bind_again(made, foretold)


def said_rightly(restart: Restart) -> RestartVerdict:
    assert restart.complaint() is None
    return restart.said


@pytest.mark.parametrize("flags", [(False, False), (True, False)])
@in_netns
def test_a_connection_that_another_process_keeps(flags: tuple[bool, bool]) -> None:
    with stage() as made, SnapshotReader() as reader:
        TCP_STATES_MADE["accepted, listening"](made, ADDRESSES[0], flags, 0)
        said = said_rightly(restart_first(made, reader, [0], [1]))
    assert [owner.state for owner in said.stays] == ["ESTABLISHED"]
    assert said.bind == ("ok" if flags[0] else "EADDRINUSE")
    assert said.frees_in_s is None


@in_netns
def test_a_listener_that_another_process_keeps() -> None:
    with stage() as made, SnapshotReader() as reader:
        TCP_STATES_MADE["unaccepted"](made, ADDRESSES[0], (True, False), 0)
        said = said_rightly(restart_first(made, reader, [0], [0]))
    assert [owner.state for owner in said.stays] == ["LISTEN"]
    assert said.bind == "EADDRINUSE"
    assert said.frees_in_s is None


@in_netns
def test_other_servers_that_share_the_port() -> None:
    with SnapshotReader() as reader:
        kinds: tuple[tuple[Protocol, Build, tuple[bool, bool]], ...] = (
            ("tcp", TCP_STATES_MADE["LISTEN"], (False, True)),
            ("udp", UDP_STATES_MADE["bound"], (False, True)),
            ("udp", UDP_STATES_MADE["bound"], (True, False)),
        )
        shared = Shared()
        for protocol, build_one, flags in kinds:
            with stage(protocol, shared) as made:
                for _ in range(2):
                    build_one(made, ADDRESSES[0], flags, 0)
                said = said_rightly(restart_first(made, reader, [0], [1]))
            assert len(said.stays) == 1
            assert said.bind == "ok"


@in_netns
def test_a_program_that_inherited_the_listener() -> None:
    need("sleep")
    with stage() as made, SnapshotReader() as reader:
        TCP_STATES_MADE["LISTEN"](made, ADDRESSES[0], (True, False), 0)
        (one,) = made.tracked
        assert one.sock is not None
        with subprocess.Popen(["sleep", "60"], pass_fds=[one.sock.fileno()]) as heir:
            try:
                said = said_rightly(restart_first(made, reader, [0]))
            finally:
                heir.kill()
    assert [h.pid for owner in said.stays for h in owner.holders if h.pid == heir.pid]
    assert said.bind == "EADDRINUSE"


@pytest.mark.parametrize("address", ["127.0.0.1", "::"])
def test_a_server_that_is_its_own_client(address: str) -> None:
    """Which end of a connection is left depends on the order in which they are closed."""

    def serve() -> None:
        server = socket.create_server(
            (address, 8080), family=socket.AF_INET6 if address == "::" else socket.AF_INET,
            dualstack_ipv6=address == "::",
        )  # fmt: skip
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        kept.append((server, socket.create_connection(("127.0.0.1", 8080)), server.accept()[0]))

    kept: list[object] = []

    @in_netns
    def look() -> None:
        with idle_child(serve) as pid, SnapshotReader() as reader:
            assert said_of(reader).bind == "depends"
            with socket.create_connection(("127.0.0.1", 8080)):
                pass  # which leaves a CLOSE_WAIT or one that is not accepted: both go
            assert said_of(reader).bind == "depends"
            os.kill(pid, signal.SIGKILL)

    look()


def said_of(reader: SnapshotReader) -> RestartVerdict:
    found = reader.take(8080)
    port = found.port("tcp", 8080)
    assert port is not None
    assert port.to_itself == 1
    said = explain_restart(port, found)
    assert said is not None
    return said
