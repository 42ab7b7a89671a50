"""Client ports folded by destination, on random mixes of servers and clients."""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sockwatch
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import ClientGroup, GapCode, Port, Snapshot, SocketGroup
from sockwatch.view.clients import is_client
from tests.support.netns import fresh_netns
from tests.support.privilege import REAL_ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(not REAL_ROOT, reason="only BPF tells which ports are clients'")

FIRST_SERVER, FIRST_CLIENT = 8000, 20_000
MAPPED = "::ffff:127.0.0.1"


class Dialled(NamedTuple):
    """One connection. Its client has a port of its own choice, or what connect() gives it."""

    server: int
    family: socket.AddressFamily
    chosen: bool
    reuseaddr: bool
    first_to_close: str  # client, server, or nobody
    half: bool  # the other end stays open


class Mix(NamedTuple):
    """Servers of a family; those in `dead` stop listening, their connections stay."""

    servers: tuple[socket.AddressFamily, ...]
    dead: frozenset[int]
    connections: tuple[Dialled, ...]


families = st.sampled_from([socket.AF_INET, socket.AF_INET6])


@st.composite
def mixes(draw: st.DrawFn) -> Mix:
    servers = tuple(draw(st.lists(families, min_size=1, max_size=3)))
    numbers = st.integers(0, len(servers) - 1)
    dialled = st.builds(
        Dialled,
        numbers,
        families,
        st.booleans(),
        st.booleans(),
        st.sampled_from(["client", "server", "nobody"]),
        st.booleans(),
    )
    return Mix(
        servers,
        frozenset(draw(st.sets(numbers))),
        tuple(draw(st.lists(dialled, min_size=1, max_size=8))),
    )


class Made:
    """The sockets of a mix. `clients` are the ports that are known to be clients' alone."""

    def __init__(self, mix: Mix, stack: ExitStack) -> None:
        self.clients: set[int] = set()
        self.servers: set[int] = set()
        self._stack = stack
        listeners = [self._listener(n, family) for n, family in enumerate(mix.servers)]
        for number, dialled in enumerate(mix.connections):
            if dialled.family == socket.AF_INET6 and mix.servers[dialled.server] == socket.AF_INET:
                continue
            self._connect(listeners[dialled.server], dialled, FIRST_CLIENT + number)
        for number in mix.dead:
            listeners[number].close()

    def _listener(self, number: int, family: socket.AddressFamily) -> socket.socket:
        listener = self._stack.enter_context(socket.socket(family))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, number % 2)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::" if family == socket.AF_INET6 else "127.0.0.1", FIRST_SERVER + number))
        listener.listen(16)
        self.servers.add(FIRST_SERVER + number)
        return listener

    def _connect(self, listener: socket.socket, dialled: Dialled, port: int) -> None:
        is_ipv6 = dialled.family == socket.AF_INET6
        client = self._stack.enter_context(socket.socket(dialled.family))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, dialled.reuseaddr)
        if dialled.chosen:
            client.bind(("::1" if is_ipv6 else "127.0.0.1", port))
        client.connect(("::1" if is_ipv6 else "127.0.0.1", listener.getsockname()[1]))
        # A TIME_WAIT does not keep that bind() chose its port, only that connect() did.
        if not (dialled.chosen and dialled.first_to_close == "client"):
            self.clients.add(client.getsockname()[1])
        accepted = self._stack.enter_context(listener.accept()[0])
        ends = {"client": (client, accepted), "server": (accepted, client)}
        if dialled.first_to_close in ends:
            first, second = ends[dialled.first_to_close]
            first.close()
            assert second.recv(1) == b""
            if not dialled.half:
                second.close()


class Alike(NamedTuple):
    """What groups and folded groups have in common."""

    state: str
    mini: bool
    family: str
    address: str
    uid: int | None
    flags: sockwatch.ReuseFlags
    pids: frozenset[int]


def alike(group: SocketGroup | ClientGroup) -> Alike:
    pids = frozenset(holder.pid for holder in group.holders)
    return Alike(group.state, group.mini, group.family, group.address, group.uid, group.flags, pids)


def counted(groups: object) -> Counter[Alike]:
    total: Counter[Alike] = Counter()
    for group in groups:  # type: ignore[attr-defined]
        total[alike(group)] += group.count
    return total


def groups_of(port: Port | None) -> Counter[Alike]:
    return counted(port.groups if port is not None else ())


def look(reader: SnapshotReader) -> tuple[Snapshot, Snapshot]:
    """A folded snapshot and a whole one; once no FIN is under way both show the same sockets."""
    seen: list[tuple[Snapshot, Snapshot]] = []

    def is_quiet() -> bool:
        folded, whole = reader.take(), reader.take(fold=False)
        seen[:] = [(folded, whole)]
        moving = {"FIN_WAIT1", "LAST_ACK", "CLOSING"}
        return not any(moving & port.states.keys() for port in whole.ports)

    wait_until(is_quiet)
    return seen[0]


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(mixes())
def test_a_fold_loses_nothing(mix: Mix) -> None:
    with fresh_netns(), ExitStack() as stack, SnapshotReader() as reader:
        made = Made(mix, stack)
        folded, whole = look(reader)
        numbers = {port.number for port in whole.ports}
        assert whole.clients.groups == ()
        assert set(folded.clients.ports) == made.clients & numbers
        assert {port.number for port in folded.ports} == numbers - made.clients
        assert counted(folded.clients.groups) == sum(
            (groups_of(whole.port("tcp", number)) for number in made.clients), Counter()
        )
        for number in numbers:
            alone = reader.take(number)
            assert groups_of(alone.port("tcp", number)) == groups_of(whole.port("tcp", number))
            if number in made.servers:
                assert groups_of(folded.port("tcp", number)) == groups_of(alone.port("tcp", number))
            judge_alike(number, folded, whole, alone)


def judge_alike(number: int, folded: Snapshot, whole: Snapshot, alone: Snapshot) -> None:
    """A whole look gives the verdict that the look at the port gives, or says that it cannot."""
    for address in ("127.0.0.1", "0.0.0.0", "::1", "::"):
        request = sockwatch.BindRequest("tcp", address, number, reuseaddr=True)
        by_port = sockwatch.matrix(request, alone)
        by_all = sockwatch.matrix(request, whole)
        by_fold = sockwatch.matrix(request, folded)
        for flags, verdict in by_port.items():
            assert by_all[flags].bind == verdict.bind
            if folded.is_folded("tcp", number):
                assert by_fold[flags].bind == "depends"
                assert GapCode.CLIENTS_FOLDED in {gap.code for gap in by_fold[flags].gaps}
            else:
                assert by_fold[flags].bind == verdict.bind


def test_a_snapshot_says_whether_it_has_told_client_ports_apart(netns: None) -> None:
    """The rule that the screens go by where it has not agrees about a client and a dead server."""
    with ExitStack() as stack:
        dead = stack.enter_context(socket.create_server(("127.0.0.1", 50_051)))
        client = stack.enter_context(socket.create_connection(dead.getsockname()))
        served, _ = dead.accept()
        udp = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        udp.connect(("127.0.0.1", 53))
        served.close()
        client.close()
        dead.close()
        wait_until(lambda: sockwatch.take_snapshot(port=50_051).ports[0].time_wait.count == 1)
        live = stack.enter_context(socket.create_server(("127.0.0.1", 8000)))
        other = stack.enter_context(socket.create_connection(live.getsockname()))
        with SnapshotReader() as reader:
            folded, whole = reader.take(), reader.take(fold=False)
        assert [folded.clients.told_apart, whole.clients.told_apart] == [True, False]
        clients = {("udp", udp.getsockname()[1])}
        assert {port.key for port in folded.ports if is_client(port, folded)} == clients
        clients.add(("tcp", other.getsockname()[1]))
        assert {port.key for port in whole.ports if is_client(port, whole)} == clients


def test_lowest_and_highest_port(netns: None) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 8000)))
        for port in (20_005, 20_003, 20_009):
            client = stack.enter_context(socket.socket())
            client.bind(("127.0.0.1", port))
            client.connect(listener.getsockname())
        [group] = sockwatch.take_snapshot().clients.groups
        assert (group.count, group.lowest_port, group.highest_port) == (3, 20_003, 20_009)
        assert (group.peer_address, group.peer_port) == ("127.0.0.1", 8000)


def test_a_port_that_is_bound_later_is_no_client_port(netns: None) -> None:
    """Its connection was made by connect() alone; then a server binds beside it."""
    with ExitStack() as stack, SnapshotReader() as reader:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 8000)))
        client = stack.enter_context(socket.create_connection(listener.getsockname()))
        number = client.getsockname()[1]
        assert reader.take().is_folded("tcp", number)
        bound = stack.enter_context(socket.socket())
        bound.bind(("127.0.0.2", number))
        for _ in range(2):
            snapshot = reader.take()
            assert not snapshot.is_folded("tcp", number)
            port = snapshot.port("tcp", number)
            assert port is not None
            assert port.states == {"BOUND": 1, "ESTABLISHED": 1}


def test_more_destinations_than_are_told_apart(netns: None) -> None:
    """Each beyond the limit is counted, without its peer."""
    from sockwatch.kernel.bpf.rows import MOST_DESTINATIONS

    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("0.0.0.0", 8000), backlog=8192))
        count = MOST_DESTINATIONS + 300
        for number in range(count):
            client = stack.enter_context(socket.socket())
            client.connect((f"127.1.{number >> 8}.{number & 255}", 8000))
            stack.enter_context(listener.accept()[0])
        clients = sockwatch.take_snapshot().clients
        assert sum(group.count for group in clients.groups) == count
        assert [group.count for group in clients.groups if group.peer_address is None] != []
        assert len(clients.groups) < MOST_DESTINATIONS + 300
