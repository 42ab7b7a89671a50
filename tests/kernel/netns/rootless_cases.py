"""Own rootless containers, looked into by their user: run by test_unprivileged_rootless.py.

Run: python -m tests.kernel.netns.rootless_cases CASE, as an ordinary user.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sockwatch
from sockwatch.kernel.netns import rootless, unprivileged
from sockwatch.kernel.netns.reader import NetnsReader
from sockwatch.kernel.netns.rootless import RootlessReader
from sockwatch.kernel.netns.survey import Survey
from sockwatch.kernel.netns.unprivileged import UnprivilegedReader
from sockwatch.kernel.proc.processes import user_name
from sockwatch.model import GapCode, KernelError
from sockwatch.readable import readable
from tests.support.child import idle_child
from tests.support.netns import (
    CLONE_NEWNET,
    enter_new_user_namespace,
    link_up,
    netns_inode,
    unshare,
)

PATIENCE_S = 30.0
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


@contextmanager
def container(levels: int = 1) -> Iterator[tuple[int, int]]:
    """A process with sockets in namespaces of its own: its pid, and its network's number.

    Each level more is a user namespace below the one that the network belongs to.
    """
    kept: list[socket.socket] = []

    def prepare() -> None:
        enter_new_user_namespace(os.getuid(), CLONE_NEWNET)
        link_up("lo")
        kept.append(socket.create_server(("127.0.0.1", 80)))
        kept.append(socket.create_connection(("127.0.0.1", 80)))
        bound = socket.socket()
        bound.bind(("127.0.0.1", 81))
        datagrams = socket.socket(socket.AF_INET6, UDP)
        datagrams.bind(("::", 53))
        kept.extend((bound, datagrams))
        for _ in range(levels - 1):
            enter_new_user_namespace(0)

    with idle_child(prepare) as pid:
        yield pid, os.stat(f"/proc/{pid}/ns/net").st_ino


def refused(look: Callable[[], object]) -> str:
    try:
        look()
    except KernelError as error:
        return str(error)
    raise AssertionError("it was not refused")


def everything_inside() -> None:
    own = os.getuid()
    with container() as (pid, number), UnprivilegedReader() as reader:
        snapshots, gaps = reader.take(())
        (snapshot,) = (s for s in snapshots if s.netns.inode == number)
        assert snapshot.netns.pid == pid
        assert {port.key: port.states for port in snapshot.ports if port.number < 100} == {
            ("tcp", 80): {"LISTEN": 1, "ESTABLISHED": 1},
            ("tcp", 81): {"BOUND": 1},
            ("udp", 53): {"UNCONN": 1},
        }
        assert snapshot.clients.sockets == 1
        servers = [sock for port in snapshot.ports for sock in (*port.listeners, *port.bound)]
        assert {sock.uid for sock in servers} == {own}
        assert {sock.flags.source for sock in servers} == {"pidfd_getfd"}
        for sock in servers:
            (holder,) = sock.holders
            assert holder.pid == pid
            assert holder.process is not None
            assert (holder.process.uid, holder.process.user) == (own, user_name(own))
        assert all((gap.remedy or "").startswith("run as root") for gap in snapshot.gaps)
        assert GapCode.NETNS_UNREAD not in {gap.code for gap in gaps}
        assert number not in {s.netns.inode for s in reader.take({number})[0]}


def one_port_with_facts() -> None:
    with container() as (pid, number):
        reader = NetnsReader()
        seen = reader.take(number, (pid,), 80)
        assert seen.device_names == {1: "lo"}
        port = seen.snapshot.port("tcp", 80)
        assert port is not None
        assert port.connections is not None
        assert {sock.state for sock in port.connections} == {"ESTABLISHED"}
        (holder,) = port.listeners[0].holders
        assert holder.process is not None
        assert holder.process.cwd == os.getcwd()
        assert holder.process.ancestors is not None
        assert holder.process.ancestors[0].pid == os.getpid()
        facts = seen.snapshot.facts
        assert facts.uid == os.getuid()
        assert facts.net_bind_service is True
        assert facts.links is not None
        assert [link.name for link in facts.links] == ["lo"]
        request = sockwatch.BindRequest("tcp", "127.0.0.1", 80)
        assert sockwatch.explain_bind(request, seen.snapshot).bind == "EADDRINUSE"
        free = reader.take(number, (), 82).snapshot
        request = sockwatch.BindRequest("tcp", "127.0.0.1", 82)
        assert sockwatch.explain_bind(request, free).bind == "ok"
        reader.close()


def the_whole_host() -> None:
    with container() as (_, number), Survey() as survey:
        own, *others = survey.take().snapshots
        assert own.netns.inode == netns_inode()
        (inside,) = (snapshot for snapshot in others if snapshot.netns.inode == number)
        assert inside.port("tcp", 81)
        numbers = [s.netns.inode for s in others if s.netns.inode is not None]
        assert len(numbers) == len(set(numbers))


def users_of_a_nested_container() -> None:
    with container(levels=2) as (pid, number), closing(RootlessReader()) as reader:
        port = reader.take(number, pid).snapshot.port("tcp", 80)
        assert port is not None
        assert port.listeners[0].uid is None
        assert [holder.pid for holder in port.holders] == [pid]


def subordinate_users(pid: str, *uids: str) -> None:
    """Sockets of users whose numbers inside are other ones than outside; see user_namespaces(7)."""
    number = os.stat(f"/proc/{pid}/ns/net").st_ino
    with closing(RootlessReader()) as reader:
        snapshot = reader.take(number, int(pid)).snapshot
    holders = []
    for port, uid in zip(snapshot.ports, uids, strict=True):
        (sock,) = port.listeners
        assert sock.uid == int(uid), (sock, uid)
        holders += [holder.process and holder.process.uid for holder in sock.holders]
    assert holders == [int(uid) for uid in uids], holders


def another_number() -> None:
    with container() as (pid, number), closing(RootlessReader()) as reader:
        assert "has left it" in refused(lambda: reader.take(number + 1, pid))
        assert reader.take(number, pid).snapshot.port("tcp", 80)


def a_visit_that_dies() -> None:
    with container() as (pid, number), closing(RootlessReader()) as reader:
        no_port: int = "none"  # type: ignore[assignment]
        text = refused(lambda: reader.take(number, pid, no_port))
        assert "ended without an answer" in text, text
        assert reader.take(number, pid).snapshot.port("tcp", 80)


def a_child_that_hangs() -> None:
    rootless.LIMIT_S = 1.0  # type: ignore[misc]
    with container() as (pid, number), closing(RootlessReader()) as reader:
        rootless_child = child_of(reader, number, pid)
        os.kill(rootless_child, signal.SIGSTOP)
        assert "no answer within" in refused(lambda: reader.take(number, pid))
        assert has_gone(rootless_child)
        rootless.LIMIT_S = PATIENCE_S  # type: ignore[misc]
        assert child_of(reader, number, pid) != rootless_child


def a_child_that_was_killed() -> None:
    with container() as (pid, number), closing(RootlessReader()) as reader:
        rootless_child = child_of(reader, number, pid)
        pidfd = os.pidfd_open(rootless_child)
        os.kill(rootless_child, signal.SIGKILL)
        assert readable([pidfd], PATIENCE_S)
        os.close(pidfd)
        assert child_of(reader, number, pid) != rootless_child
        assert has_gone(rootless_child)


def a_container_that_does_not_answer() -> None:
    """It is seen from outside then, with a gap, and not entered again at once."""
    unprivileged.LOOK_AGAIN_S = unprivileged.PAUSE_PER_COST = 0  # type: ignore[misc]
    rootless.LIMIT_S = -1.0  # type: ignore[misc]
    with container() as (pid, number), UnprivilegedReader() as reader:
        for _ in range(2):
            snapshots, gaps = reader.take(())
            (snapshot,) = (s for s in snapshots if s.netns.inode == number)
            assert snapshot.netns.pid == pid
            assert {gap.code for gap in snapshot.gaps} >= {GapCode.SOCK_DIAG_REFUSED}
            (port,) = (port for port in snapshot.ports if port.key == ("tcp", 80))
            assert [holder.pid for holder in port.listeners[0].holders] == [pid]
            assert any(str(number) in gap.text for gap in gaps)
            rootless.LIMIT_S = PATIENCE_S  # type: ignore[misc]
        unprivileged.ENTER_AGAIN_S = 0  # type: ignore[misc]


def it_ends_with_us() -> None:
    with container() as (pid, number):
        told, telling = os.pipe()
        if (user := os.fork()) == 0:
            reader = RootlessReader()
            os.write(telling, str(child_of(reader, number, pid)).encode())
            signal.pause()
        pidfd = os.pidfd_open(int(os.read(told, 20)))
        assert not readable([pidfd], 0)
        os.kill(user, signal.SIGKILL)
        os.waitpid(user, 0)
        assert readable([pidfd], PATIENCE_S)


def nothing_is_left() -> None:
    with container() as (pid, number):
        before = sorted(os.listdir("/proc/self/fd"))
        with closing(RootlessReader()) as reader:
            rootless_child = child_of(reader, number, pid)
            opened = sorted(os.listdir("/proc/self/fd"))
            for _ in range(10):
                assert child_of(reader, number, pid) == rootless_child
                assert children_of(rootless_child) == []
            assert sorted(os.listdir("/proc/self/fd")) == opened
            assert os.stat(f"/proc/{rootless_child}/ns/net").st_ino != number
        assert sorted(os.listdir("/proc/self/fd")) == before
        assert has_gone(rootless_child)


def no_container_of_ours() -> None:
    """A network namespace that belongs to our own user namespace cannot be entered."""
    enter_new_user_namespace(os.getuid(), CLONE_NEWNET)
    reader = NetnsReader()
    with idle_child(lambda: unshare(CLONE_NEWNET)) as pid:
        number = os.stat(f"/proc/{pid}/ns/net").st_ino
        assert reader.take(number, (pid,), 80).snapshot.ports == ()
        assert not rootless.may_enter_netns_of(pid)
        assert rootless.entry_of(number, (pid,)) is None
    reader.close()


@contextmanager
def closing(reader: RootlessReader) -> Iterator[RootlessReader]:
    try:
        yield reader
    finally:
        reader.close()


def child_of(reader: RootlessReader, number: int, pid: int) -> int:
    assert reader.take(number, pid).snapshot.port("tcp", 80)
    assert reader._child is not None
    return reader._child.pid


def children_of(pid: int) -> list[str]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def has_gone(pid: int) -> bool:
    """Whether it has exited, and has been waited for."""
    return not os.path.exists(f"/proc/{pid}")


CASES = {
    case.__name__: case
    for case in (
        everything_inside,
        one_port_with_facts,
        the_whole_host,
        users_of_a_nested_container,
        another_number,
        a_visit_that_dies,
        a_child_that_hangs,
        a_child_that_was_killed,
        a_container_that_does_not_answer,
        it_ends_with_us,
        nothing_is_left,
        no_container_of_ours,
    )
}

if __name__ == "__main__":
    rootless.LIMIT_S = unprivileged.NEW_S = unprivileged.KNOWN_S = PATIENCE_S  # type: ignore[misc]
    case, *arguments = sys.argv[1:]
    if arguments:
        subordinate_users(*arguments)
    else:
        CASES[case]()
