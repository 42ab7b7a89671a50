"""Other network namespaces from /proc/PID/net: what an ordinary user sees of those of others."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from sockwatch.kernel.netns import proc_views, unprivileged
from sockwatch.kernel.netns.proc_views import NOTHING, Counts
from sockwatch.kernel.netns.rootless import RootlessReader
from sockwatch.kernel.netns.unprivileged import UnprivilegedReader
from sockwatch.model import Gap, GapCode, KernelError, Snapshot
from tests.conftest import CAN_MAKE_NETNS
from tests.support.child import become, idle_child, in_child
from tests.support.libc import libc
from tests.support.netns import PR_SET_DUMPABLE, enter_new_netns, netns_inode, setns
from tests.support.privilege import REAL_ROOT, needs_root
from tests.support.user import UID, run_as_user
from tests.support.waiting import wait_until
from tests.support.worker import Worker

pytestmark = pytest.mark.skipif(not CAN_MAKE_NETNS, reason="may not make network namespaces")
NO_PID = 1 << 30
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


@pytest.fixture(autouse=True)
def _whatever_else_is_on_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "NEW_S", 30)
    monkeypatch.setattr(unprivileged, "KNOWN_S", 30)
    monkeypatch.setattr(unprivileged, "may_enter_netns_of", lambda _: False)


def as_ordinary_user(look: Callable[[], Any]) -> Any:
    def body() -> Any:
        if REAL_ROOT:
            become(UID)
        return look()

    return in_child(body)


def take_once() -> tuple[list[Snapshot], list[Gap]]:
    with UnprivilegedReader() as reader:
        return reader.take(())


def of_pid(pid: int, snapshots: list[Snapshot]) -> Snapshot | None:
    return next((s for s in snapshots if s.netns.pid == pid), None)


@contextmanager
def netns_with(
    *made: tuple[int, str, int], before: Callable[[], None] = lambda: None
) -> Iterator[int]:
    """The pid of a process alone in a network namespace, with a socket of each (kind, address)."""
    kept: list[socket.socket] = []

    def prepare() -> None:
        enter_new_netns()
        before()
        kept.extend(open_socket(*one) for one in made)

    with idle_child(prepare) as pid:
        wait_for_sockets(pid, len(made))
        yield pid


def open_socket(kind: int, address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    sock.bind((address, port))
    if kind == TCP:
        sock.listen()
    return sock


@contextmanager
def answering_netns() -> Iterator[Worker]:
    """A process in a network namespace that opens, or with None closes, the sockets it is sent."""

    def prepare() -> Callable[[Any], None]:
        kept: list[socket.socket] = []

        def answer(question: Any) -> None:
            if question == "close":
                kept.pop().close()
            else:
                kept.append(open_socket(*question))

        return answer

    with Worker(prepare) as worker:
        worker.ask((TCP, "127.0.0.1", 8080))
        wait_for_sockets(worker._pid, 1)
        yield worker


def wait_for_sockets(pid: int, used: int) -> None:
    """The kernel may still be freeing one that was closed."""
    wait_until(lambda: counts_of(pid).used == used)


def counts_of(pid: int) -> Counts:
    mark = os.stat(f"/proc/{pid}/net/tcp").st_ino
    counts = proc_views.read_counts(proc_views.Seen((pid,)), mark)
    assert counts is not None
    return counts


def test_the_sockets_of_another_users_namespace() -> None:
    made = ((TCP, "127.0.0.1", 80), (TCP, "::1", 81), (UDP, "0.0.0.0", 53), (UDP, "::", 54))
    with netns_with(*made) as pid:
        snapshots, _ = as_ordinary_user(take_once)
    snapshot = of_pid(pid, snapshots)
    assert snapshot is not None
    assert [(p.key, p.states) for p in snapshot.ports] == [
        (("tcp", 80), {"LISTEN": 1}),
        (("tcp", 81), {"LISTEN": 1}),
        (("udp", 53), {"UNCONN": 1}),
        (("udp", 54), {"UNCONN": 1}),
    ]
    listeners = [sock for port in snapshot.ports for sock in port.listeners]
    assert [sock.address for sock in listeners] == [address for _, address, _ in made]
    assert {sock.uid for sock in listeners} == {os.geteuid()}
    assert {sock.flags[:2] for sock in listeners} == {(None, None)}
    codes = {gap.code for gap in snapshot.gaps}
    assert {GapCode.SOCK_DIAG_REFUSED, GapCode.FLAGS_UNKNOWN} <= codes
    if REAL_ROOT:
        assert snapshot.netns.inode is None
        assert {sock.holders for sock in listeners} == {()}
        assert GapCode.HOLDERS_NOT_PERMITTED in codes


@needs_root
def test_a_process_of_ones_own_in_a_namespace_of_root() -> None:
    def step_down() -> None:
        become(UID)
        libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # else root owns its files in /proc

    with netns_with((TCP, "0.0.0.0", 8080), before=step_down) as pid:
        number = os.stat(f"/proc/{pid}/ns/net").st_ino
        snapshots, _ = as_ordinary_user(take_once)
        others, _ = as_ordinary_user(lambda: UnprivilegedReader().take({number}))
    snapshot = of_pid(pid, snapshots)
    assert snapshot is not None
    assert snapshot.netns.inode == number
    (port,) = snapshot.ports
    assert [(h.pid, h.process and h.process.uid) for h in port.holders] == [(pid, UID)]
    assert of_pid(pid, others) is None


def test_our_own_namespace_is_none_of_the_others() -> None:
    own = netns_inode()
    snapshots, _ = take_once()
    assert own not in {snapshot.netns.inode for snapshot in snapshots}


def test_processes_are_grouped_by_namespace() -> None:

    def fork_another() -> None:
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(writer)
            os.read(reader, 1)  # until its parent ends
            os._exit(0)

    with netns_with(before=fork_another) as two, netns_with() as one:
        snapshots, _ = as_ordinary_user(take_once)
        pids = [snapshot.netns.pid for snapshot in snapshots]
        assert (pids.count(two), pids.count(one)) == (1, 1)


def test_an_idle_namespace_costs_two_small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    read = proc_views._read

    def count(folder: int, name: str) -> tuple[bytes, bool]:
        if os.stat("tcp", dir_fd=folder).st_ino in marks:
            names.append(name)
        return read(folder, name)

    with answering_netns() as worker, netns_with() as empty, UnprivilegedReader() as reader:
        marks = {os.stat(f"/proc/{pid}/net/tcp").st_ino for pid in (worker._pid, empty)}
        first, second = (of_pid(worker._pid, reader.take(())[0]) for _ in range(2))
        assert first is not None
        assert first is second
        before = of_pid(empty, reader.take(())[0])
        monkeypatch.setattr(proc_views, "_read", count)
        after = of_pid(empty, reader.take(())[0])
        assert sorted(names) == ["sockstat", "sockstat", "sockstat6", "sockstat6"]
        assert before is not None
        assert after is not None
        assert after.time > before.time
        assert after.ports == ()
        assert GapCode.SOCK_DIAG_REFUSED not in {gap.code for gap in after.gaps}


def test_what_has_changed_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "PAUSE_PER_COST", 0)
    with answering_netns() as worker, UnprivilegedReader() as reader:

        def ports() -> list[int]:
            snapshot = of_pid(worker._pid, reader.take(())[0])
            assert snapshot is not None
            return [port.number for port in snapshot.ports]

        assert ports() == [8080]
        worker.ask((TCP, "127.0.0.1", 8081))
        kept = of_pid(worker._pid, reader.take(())[0])
        assert ports() == [8080, 8081]
        worker.ask("close")
        worker.ask((UDP, "127.0.0.1", 53))
        assert ports() == [8080, 53]
        assert kept is not None
        now = of_pid(worker._pid, reader.take(())[0])
        assert now is not None
        assert now.port("tcp", 8080) is kept.port("tcp", 8080)


def test_an_expensive_namespace_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "PAUSE_PER_COST", 1e9)
    with answering_netns() as worker, UnprivilegedReader() as reader:
        first = of_pid(worker._pid, reader.take(())[0])
        worker.ask((TCP, "127.0.0.1", 8081))
        assert of_pid(worker._pid, reader.take(())[0]) is first is not None


def test_the_same_numbers_are_believed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "PAUSE_PER_COST", 0)
    with answering_netns() as worker, UnprivilegedReader() as reader:
        first = of_pid(worker._pid, reader.take(())[0])
        worker.ask("close")
        worker.ask((TCP, "127.0.0.1", 8081))
        wait_for_sockets(worker._pid, 1)
        assert of_pid(worker._pid, reader.take(())[0]) is first is not None
        monkeypatch.setattr(unprivileged, "LOOK_AGAIN_S", 0)
        renewed = of_pid(worker._pid, reader.take(())[0])
        assert renewed is not None
        assert [port.number for port in renewed.ports] == [8081]


def test_a_namespace_that_ends_is_gone_at_once() -> None:
    with UnprivilegedReader() as reader:
        with netns_with((TCP, "127.0.0.1", 8080)) as pid:
            assert of_pid(pid, reader.take(())[0])
        assert of_pid(pid, reader.take(())[0]) is None


def test_the_next_process_speaks_for_one_that_has_exited() -> None:
    with netns_with((TCP, "127.0.0.1", 8080)) as second:
        seen = proc_views.Seen((NO_PID, second))
        mark = os.stat(f"/proc/{second}/net/tcp").st_ino
        assert proc_views.read_counts(seen, mark) == Counts(used=1, tcp=1)
        assert proc_views.read_counts(seen, mark + 1) is None
        assert proc_views.read_counts(proc_views.Seen((NO_PID,)), mark) is None


@needs_root
def test_processes_that_take_the_place_of_all_others_speak_at_once() -> None:
    with ExitStack() as stack, UnprivilegedReader() as reader:
        first = stack.enter_context(netns_with((TCP, "127.0.0.1", 8080)))
        assert of_pid(first, reader.take(())[0])
        there = stack.enter_context(open(f"/proc/{first}/ns/net"))
        second = stack.enter_context(idle_child(lambda: setns(there.fileno())))
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        assert of_pid(second, reader.take(())[0])


def test_a_host_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ipv6.disable=1, which takes a boot, the files of IPv6 are not there."""
    read = proc_views._read

    def without_ipv6(folder: int, name: str) -> tuple[bytes, bool]:
        if name.endswith("6"):
            raise FileNotFoundError(name)
        return read(folder, name)

    monkeypatch.setattr(proc_views, "_read", without_ipv6)
    with netns_with((TCP, "127.0.0.1", 8080)) as pid:
        snapshot = of_pid(pid, take_once()[0])
        assert snapshot is not None
        assert [port.number for port in snapshot.ports] == [8080]


def test_a_refusal_is_forgotten_with_what_it_was_about(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: RootlessReader, inode: int, *__: object, **___: object) -> None:
        raise KernelError(f"refused: {inode}", 0)

    monkeypatch.setattr(unprivileged, "may_enter_netns_of", lambda _: True)
    monkeypatch.setattr(RootlessReader, "take", refuse)
    with answering_netns() as worker, UnprivilegedReader() as reader:
        refused = f"refused: {os.stat(f'/proc/{worker._pid}/ns/net').st_ino}"
        assert refused in {gap.text for gap in reader.take(())[1]}
        worker.ask("close")
        wait_for_sockets(worker._pid, 0)
        wait_until(lambda: refused not in {gap.text for gap in reader.take(())[1]})


def test_a_table_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc_views, "MOST_BYTES", 100)
    with netns_with((TCP, "127.0.0.1", 8080), (UDP, "::", 53)) as pid:
        snapshot = of_pid(pid, take_once()[0])
    assert snapshot is not None
    (gap,) = (gap for gap in snapshot.gaps if gap.code == GapCode.SOCK_DIAG_REFUSED)
    assert "and tcp and tcp6 and udp and udp6 only in part" in gap.text


def test_namespaces_that_there_is_no_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "NEW_S", -1)
    with netns_with() as one, netns_with() as two, UnprivilegedReader() as reader:
        snapshots, gaps = reader.take(())
        assert snapshots == []
        (gap,) = (gap for gap in gaps if gap.code == GapCode.NETNS_UNREAD)
        assert gap.remedy == "poll again"
        monkeypatch.setattr(unprivileged, "NEW_S", 30)
        snapshots, gaps = reader.take(())
        assert of_pid(one, snapshots)
        assert of_pid(two, snapshots)
        assert GapCode.NETNS_UNREAD not in {gap.code for gap in gaps}


def test_more_namespaces_than_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "MOST_NAMESPACES", 1)
    with netns_with(), netns_with():
        snapshots, gaps = take_once()
    assert len(snapshots) == 1
    assert GapCode.NETNS_UNREAD in {gap.code for gap in gaps}


def test_looks_leak_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "LOOK_AGAIN_S", 0)
    monkeypatch.setattr(unprivileged, "PAUSE_PER_COST", 0)
    monkeypatch.setattr(unprivileged, "FIND_AGAIN_S", 0)
    with netns_with((TCP, "127.0.0.1", 8080)), UnprivilegedReader() as reader:
        reader.take(())
        before = sorted(os.listdir("/proc/self/fd"))
        for _ in range(20):
            reader.take(())
        assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_process_that_has_exited_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "FIND_AGAIN_S", 0)
    with UnprivilegedReader() as reader:
        with netns_with((TCP, "127.0.0.1", 8080)) as pid:
            assert of_pid(pid, reader.take(())[0])
            assert pid in reader._views._names._remembered
        reader.take(())
        assert pid not in reader._views._names._remembered


HIDDEN = """
from sockwatch.kernel.netns.unprivileged import UnprivilegedReader
snapshots, gaps = UnprivilegedReader().take(())
print([snapshot.netns.pid for snapshot in snapshots])
for gap in gaps:
    print(gap.text)
"""


@pytest.mark.parametrize("hidepid", [0, 1, 2])
def test_where_proc_hides_the_processes_of_others(hidepid: int) -> None:
    mount = f"mount -t proc -o hidepid={hidepid} proc /proc"
    with netns_with((TCP, "127.0.0.1", 8080)) as pid:
        done = run_as_user([sys.executable, "-c", HIDDEN], before=mount)
    assert done.returncode == 0, done.stderr
    pids, *gaps = done.stdout.splitlines()
    assert (str(pid) in pids) == (hidepid == 0)
    assert ("hidepid" in done.stdout) == (hidepid > 0)
    assert len(gaps) == (hidepid > 0)


def test_the_counts_of_a_namespace(netns: None) -> None:
    def counts() -> Counts:
        return counts_of(os.getpid())

    wait_for_sockets(os.getpid(), 0)
    assert counts() == NOTHING
    with open_socket(TCP, "127.0.0.1", 8080), open_socket(TCP, "::1", 8080):
        assert counts() == Counts(used=2, tcp=2)
        with open_socket(UDP, "::", 53), socket.create_connection(("127.0.0.1", 8080)):
            # The one that waits for accept() was made by no program.
            assert counts()[1:] == (4, 1, 0)
