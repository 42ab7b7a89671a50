"""A survey of network namespaces with sockets in them, beside looks made inside each."""

from __future__ import annotations

import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from sockwatch.kernel.bpf.counting_iterators import FileSummary
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.iterators import SocketIterators
from sockwatch.kernel.netns.one_pass import NO_FILES
from sockwatch.kernel.netns.survey import Key, Survey, _key
from sockwatch.kernel.netns.visitor import LostError
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import (
    UNKNOWN_FLAGS,
    ClientGroup,
    Clients,
    GapCode,
    HostFacts,
    HostSnapshot,
    Port,
    PortSet,
    Snapshot,
    Socket,
    SocketGroup,
)
from sockwatch.model.ports import NO_TIME_WAIT
from tests.support.child import become, idle_child, in_child, in_netns
from tests.support.netns import enter_new_netns, netns_inode, setns
from tests.support.privilege import REAL_ROOT
from tests.support.sample import SEED
from tests.support.tun_peer import tun_network
from tests.support.waiting import wait_until

CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_SYS_PTRACE = 2, 12, 19
SWITCHED_OFF = BpfUnavailable("refused", "switched off for the test")
PORTS = (8000, 8001, 8002, 40_000, 40_001)  # servers' in one namespace, clients' in another
Sockets = list[socket.socket]
Owner = TypeVar("Owner", Socket, SocketGroup, ClientGroup)


@pytest.fixture(params=["bpf", "no bpf"])
def survey(request: pytest.FixtureRequest, netns: None) -> Iterator[Survey]:
    if not REAL_ROOT:
        pytest.skip("needs root")
    with Survey() as survey:
        if request.param == "no bpf":
            survey._pass._failure = SWITCHED_OFF
        yield survey


@contextmanager
def elsewhere(make: Callable[[], object] = lambda: None) -> Iterator[int]:
    """The pid of a process in a network namespace of its own, which holds what `make` returns."""
    kept: list[object] = []

    def prepare() -> None:
        enter_new_netns()
        kept.append(make())

    with idle_child(prepare) as pid:
        yield pid


@contextmanager
def inside(pid: int) -> Iterator[None]:
    """This thread in the network namespace of the process."""
    with open("/proc/thread-self/ns/net") as before, open(f"/proc/{pid}/ns/net") as there:
        setns(there.fileno())
        try:
            yield
        finally:
            setns(before.fileno())


def inode_of(pid: int) -> int:
    return os.stat(f"/proc/{pid}/ns/net").st_ino


def seen(host: HostSnapshot, pid: int) -> Snapshot | None:
    """The snapshot of the process's network namespace."""
    inode = inode_of(pid)
    return next((each for each in host.snapshots if each.netns.inode == inode), None)


def listening(port: int, address: str = "127.0.0.1", *, reuseport: bool = False) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(reuseport))
    sock.bind((address, port))
    sock.listen(8)
    return sock


def mix(draw: random.Random) -> Sockets:
    """Sockets of all kinds, on few ports, some of which have no fd."""
    ports = draw.sample(PORTS, 3)
    servers = [
        listening(port, draw.choice(("127.0.0.1", "::")), reuseport=draw.random() < 0.5)
        for port in ports[: draw.randrange(3)]
    ]
    kept = servers.copy()
    for server in servers:
        for _ in range(draw.randrange(4)):
            connect(server, draw, kept)
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, draw.randrange(2))
    with suppress(OSError):
        bound.bind(("127.0.0.1", ports[2]))
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    datagrams.bind(("0.0.0.0", draw.choice(PORTS)))
    kept += draw.sample([bound, datagrams], draw.randrange(3))
    if kept and draw.random() < 0.5:
        kept.append(kept[0].dup())
    return kept


def connect(server: socket.socket, draw: random.Random, kept: Sockets) -> None:
    client = socket.socket()
    if draw.random() < 0.5:
        with suppress(OSError):  # a server, or another client, has it
            client.bind(("127.0.0.2", draw.choice(PORTS)))
    client.connect(("127.0.0.1", server.getsockname()[1]))
    end = draw.choice(("open", "unaccepted", "time-wait", "reset"))
    if end == "unaccepted":
        kept.append(client)
        return
    accepted = server.accept()[0]
    if end == "open":
        kept += [client, accepted]
    elif end == "time-wait":
        accepted.close()
        client.close()
    else:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        accepted.close()


def settled(snapshot: Snapshot) -> tuple[list[Port], Clients]:
    """What does not differ from one moment to the next: no clocks, and no state of a process."""
    ports = [
        port._replace(
            listeners=tuple(map(_by_pid, port.listeners)),
            bound=tuple(map(_by_pid, port.bound)),
            groups=tuple(sorted(map(_by_pid, port.groups), key=repr)),
            holders=tuple(holder._replace(process=None) for holder in port.holders),
            time_wait=NO_TIME_WAIT,
        )
        for port in snapshot.ports
    ]
    clients = snapshot.clients
    groups = tuple(sorted(map(_by_pid, clients.groups), key=repr))
    return ports, Clients(groups, clients.ports, clients.told_apart)


def _by_pid(owner: Owner) -> Owner:
    assert all(holder.process is not None for holder in owner.holders)
    owner = owner._replace(holders=tuple(h._replace(process=None) for h in owner.holders))
    if isinstance(owner, Socket):
        return owner
    return owner._replace(first_frees_in_s=None, last_frees_in_s=None)


def test_each_snapshot_is_that_of_a_look_inside(survey: Survey) -> None:
    for round_ in range(4):
        with ExitStack() as stack:
            draws = [random.Random(f"{SEED} {round_} {number}") for number in range(3)]  # noqa: S311
            pids = [stack.enter_context(elsewhere(partial(mix, draw))) for draw in draws]
            survey.take()
            host = survey.take()  # the second one knows which ports are clients'
            assert host.snapshots[0] is host.own
            assert host.own.netns.inode == netns_inode()
            for pid in pids:
                found = seen(host, pid)
                assert found is not None
                with inside(pid), SnapshotReader() as reader:
                    if not survey._pass.has_passed:
                        reader._bpf.give_up("switched off for the test")
                    reader.take()
                    expected = reader.take()
                assert settled(found) == settled(expected)
                assert found.facts == HostFacts()
                assert found.kernel == expected.kernel


def test_the_first_look_shows_every_socket(survey: Survey) -> None:
    draw = random.Random(SEED)  # noqa: S311
    with elsewhere(partial(mix, draw)) as pid:
        found = seen(survey.take(), pid)
        with inside(pid), SnapshotReader() as reader:
            if not survey._pass.has_passed:
                reader._bpf.give_up("switched off for the test")
            expected = reader.take()
    assert found is not None
    assert settled(found) == settled(expected)


def test_what_begins_and_ends_is_in_the_next_answer(survey: Survey) -> None:
    first = survey.take()
    with elsewhere(lambda: listening(PORTS[0])) as pid:
        inode = inode_of(pid)
        host = survey.take()
        snapshot = seen(host, pid)
        assert snapshot is not None
        port = snapshot.port("tcp", PORTS[0])
        assert port is not None
        assert [holder.pid for holder in port.holders] == [pid]

    def without_it() -> HostSnapshot | None:
        """The kernel takes it apart when it has the time."""
        host = survey.take()
        assert not any(str(inode) in gap.text for gap in host.gaps)
        return None if inode in {each.netns.inode for each in host.snapshots} else host

    assert wait_until(without_it).own.netns == first.own.netns


def fds() -> dict[str, str]:
    """Those of this process, but for BPF's, which belong to no network namespace."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # that of the folder itself
    return {name: link for name, link in found.items() if not link.startswith("anon_inode:bpf")}


def forgotten(survey: Survey, visited: set[Key]) -> bool:
    survey.take()
    return visited.isdisjoint(survey._visited)


def test_nothing_of_another_namespace_is_open_between_looks(survey: Survey) -> None:
    survey.take()
    before = fds()
    for _ in range(3):
        with ExitStack() as stack:
            inodes = set()
            for _ in range(20):
                pid = stack.enter_context(elsewhere(lambda: listening(PORTS[0])))
                inodes.add(inode_of(pid))
                survey.take()
                assert f"net:[{inode_of(pid)}]" not in fds().values()
            assert inodes <= {each.netns.inode for each in survey.take().snapshots}
            visited = {key for key in survey._visited if key[0] in inodes}
        wait_until(partial(forgotten, survey, visited))
        assert fds() == before


def test_a_quiet_namespace_is_not_visited_again_until_it_is_time(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    with elsewhere(lambda: listening(PORTS[0])) as pid:

        def left_alone() -> Snapshot | None:
            snapshot = seen(survey.take(), pid)
            return snapshot if seen(survey.take(), pid) is snapshot else None

        quiet = wait_until(left_alone)
        clock += 10.0
        later = seen(survey.take(), pid)
    assert later is not None
    assert later.time > quiet.time
    assert later.ports[0] is quiet.ports[0]  # nothing on it has changed


@pytest.mark.parametrize("survey", ["bpf"], indirect=True)
def test_what_a_process_does_in_a_quiet_namespace_is_seen_at_once(survey: Survey) -> None:
    with elsewhere(lambda: listening(PORTS[0])) as pid:
        for _ in range(3):
            survey.take()
        with inside(pid), socket.socket() as bound:
            bound.bind(("127.0.0.1", PORTS[1]))
            found = seen(survey.take(), pid)
            assert found is not None
            assert [port.number for port in found.ports] == list(PORTS[:2])
            assert [holder.pid for holder in found.ports[1].holders] == [os.getpid()]
        found = seen(survey.take(), pid)
        assert found is not None
        assert [port.number for port in found.ports] == [PORTS[0]]


@pytest.mark.skipif(not os.access("/dev/net/tun", os.R_OK | os.W_OK), reason="no /dev/net/tun")
def test_a_half_open_request_in_a_quiet_namespace(survey: Survey) -> None:
    with elsewhere(lambda: listening(PORTS[0], "0.0.0.0")) as pid:

        def half_open() -> int:
            for visited in survey._visited.values():
                visited.pace.visited(-100.0, changed=True)
            found = seen(survey.take(), pid)
            assert found is not None
            return found.ports[0].half_open

        assert [half_open() for _ in range(2)] == [0, 0]
        with inside(pid), tun_network() as network:
            network.open(PORTS[0], PORTS[1])
            network.receive(PORTS[1])
            assert [half_open() for _ in range(3)] == [1, 1, 1]


def test_news_does_not_wait_for_what_is_old(survey: Survey) -> None:
    with elsewhere() as quiet, elsewhere() as busy:
        survey.take()
        _, *others = survey._catalogue.namespaces()
        (old,), (new,) = ([e for e in others if e.inode == inode_of(pid)] for pid in (quiet, busy))
        for visited in survey._visited.values():
            visited.pace.visited(time.monotonic(), changed=False)
        survey._visited[_key(old)].pace.visited(-100.0, changed=True)
        survey._visited[_key(new)]._files = None
        assert list(survey._due([old, new])) == [new, old]


def test_the_first_socket_of_a_namespace_is_one_that_no_count_has(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    with elsewhere() as pid:
        for _ in range(3):
            survey.take()
        with inside(pid), socket.socket() as bound:
            bound.bind(("127.0.0.1", PORTS[1]))
            clock += 10.0
            found = seen(survey.take(), pid)
            assert found is not None
            assert [port.number for port in found.ports] == [PORTS[1]]


@pytest.mark.parametrize("survey", ["bpf"], indirect=True)
def test_a_bound_socket_of_a_process_outside_our_pid_namespace(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sockwatch.kernel.netns.visited.sees_every_process", lambda: False)
    monkeypatch.setattr(survey._pass, "files", lambda _: NO_FILES)
    with elsewhere() as pid:
        for _ in range(2):
            survey.take()
        with inside(pid), socket.socket() as bound:
            bound.bind(("127.0.0.1", PORTS[1]))
            for each in survey._visited.values():
                each.pace.visited(-100.0, changed=True)
            found = seen(survey.take(), pid)
            assert found is not None
            assert [port.number for port in found.ports] == [PORTS[1]]


@pytest.mark.parametrize("survey", ["bpf"], indirect=True)
def test_a_look_that_has_settled_passes_over_all_fds_once(survey: Survey) -> None:
    draw = random.Random(SEED)  # noqa: S311
    asked: list[int] = []
    with elsewhere(partial(mix, draw)) as pid, listening(PORTS[0]) as server:
        client = socket.create_connection(server.getsockname())
        with client, server.accept()[0]:
            survey.take()
            survey.take()
            iterators = survey._pass.opened()

            def holders(netns_inode: int, own_ports: PortSet) -> FileSummary:
                asked.append(netns_inode)
                return SocketIterators.holders(iterators, netns_inode, own_ports)

            iterators.holders = holders  # type: ignore[method-assign]
            for visited in survey._visited.values():
                visited.pace.visited(-100.0, changed=True)
            assert survey.take().own.port("tcp", PORTS[0]) is not None
        assert survey._pass.has_passed
        assert not {netns_inode(), inode_of(pid)} & set(asked)


@pytest.mark.parametrize("survey", ["bpf"], indirect=True)
def test_holders_of_sockets_that_are_newer_than_the_pass(survey: Survey) -> None:
    with elsewhere() as pid, ExitStack() as stack:
        survey.take()
        begin = survey._pass.begin

        def begin_too_early() -> None:
            begin()
            with inside(pid):
                stack.enter_context(listening(PORTS[0]))

        survey._pass.begin = begin_too_early  # type: ignore[method-assign]
        for visited in survey._visited.values():
            visited.pace.visited(-100.0, changed=True)
        found = seen(survey.take(), pid)
    assert found is not None
    assert [holder.pid for holder in found.ports[0].holders] == [os.getpid()]


@pytest.mark.parametrize("survey", ["bpf"], indirect=True)
def test_iterators_that_cannot_be_opened_again(survey: Survey) -> None:
    with elsewhere(lambda: listening(PORTS[0])) as pid:
        survey.take()
        survey._pass.close()  # as where a pass has failed
        survey._pass._failure = SWITCHED_OFF
        for visited in survey._visited.values():
            visited.pace.visited(-100.0, changed=True)
        for _ in range(2):
            host = survey.take()
            found = seen(host, pid)
            assert found is not None
            assert [port.number for port in found.ports] == [PORTS[0]]


def test_a_thread_that_is_lost_is_never_used_again(survey: Survey) -> None:
    with elsewhere(lambda: listening(PORTS[0])) as pid:
        home, survey._visitor._home = survey._visitor._home, -1
        with pytest.raises(LostError, match="no way back"):
            survey.take()
        survey._visitor._home = home
        assert survey._visitor.run(netns_inode) == netns_inode()
        found = seen(survey.take(), pid)
        assert found is not None
        assert found.ports


@in_netns
def test_a_namespace_that_may_not_be_entered_is_a_gap() -> None:
    with elsewhere(lambda: listening(PORTS[0])) as pid:
        inode = inode_of(pid)
        host = in_child(_without_sys_admin, 0)
    (gap,) = (gap for gap in host.gaps if str(inode) in gap.text)
    assert gap.code == GapCode.NETNS_UNREAD
    assert gap.text == f"netns {inode} could not be looked into: Operation not permitted"
    assert gap.remedy is None  # root it is
    assert host.own.ports == ()
    assert len(host.snapshots) == 1


@in_netns
def test_an_ordinary_user_sees_it_from_outside() -> None:
    with elsewhere(lambda: listening(PORTS[0])) as pid:
        inode = inode_of(pid)
        host = in_child(_without_sys_admin, 12_345)
    assert not any(str(inode) in gap.text for gap in host.gaps)
    (seen,) = (each for each in host.snapshots if each.netns.inode == inode)
    (port,) = seen.ports
    assert port.key == ("tcp", PORTS[0])
    assert port.listeners[0].flags == UNKNOWN_FLAGS
    assert seen.gaps


def _without_sys_admin(uid: int) -> HostSnapshot:
    become(uid, CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_SYS_PTRACE)
    with Survey() as survey:
        survey.take()
        return survey.take()


def test_namespaces_that_come_and_go_meanwhile(survey: Survey) -> None:
    kept = {}
    with ExitStack() as stack:
        for number in range(4):
            port = PORTS[number]
            pid = stack.enter_context(elsewhere(partial(listening, port)))
            kept[pid] = port
        coming = stack.enter_context(idle_child(_come_and_go))
        for _ in range(15):
            host = survey.take()
            for pid, port in kept.items():
                found = seen(host, pid)
                assert found is not None
                assert [each.number for each in found.ports] == [port]
            assert len({each.netns for each in host.snapshots}) == len(host.snapshots)
        os.kill(coming, 0)  # it has been there all the time


def _come_and_go() -> None:
    """Until this process ends, others begin and end in namespaces of their own."""
    if os.fork() == 0:
        parent = os.getppid()
        while os.getppid() == parent:
            pid = os.fork()
            if pid == 0:
                enter_new_netns()
                sock = listening(PORTS[0])
                time.sleep(0.005)
                sock.close()
                os._exit(0)
            os.waitpid(pid, 0)
        os._exit(0)


def test_a_host_snapshot_of_the_library(netns: None) -> None:
    import sockwatch

    with listening(PORTS[0]):
        host = sockwatch.take_host_snapshot()
    assert isinstance(host, sockwatch.HostSnapshot)
    assert [port.number for port in host.own.ports] == [PORTS[0]]
    assert host.own.facts.port_range is not None
    assert Path("/proc/thread-self/ns/net").stat().st_ino == host.own.netns.inode
