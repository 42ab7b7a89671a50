"""Snapshots against the sockets that the test made."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from contextlib import ExitStack

import pytest

import sockwatch
from sockwatch.kernel import proc_net
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import UNKNOWN_FLAGS, GapCode, KernelError, Port, Protocol, ReuseFlags
from tests.support.child import become, in_child
from tests.support.privilege import REAL_ROOT, needs_bound
from tests.support.seccomp import refuse_netlink
from tests.support.time_waits import make_time_waits
from tests.support.tools import need

V4, V6 = socket.AF_INET, socket.AF_INET6
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


def bound(
    address: str,
    port: int,
    *,
    kind: int = TCP,
    v6only: bool | None = None,
    flags: tuple[int, int] = (0, 0),
) -> socket.socket:
    sock = socket.socket(V6 if ":" in address else V4, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, flags[0])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, flags[1])
    if v6only is not None:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6only))
    sock.bind((address, port))
    return sock


def listening(address: str, port: int, **options: object) -> socket.socket:
    sock = bound(address, port, **options)  # type: ignore[arg-type]
    sock.listen(5)
    return sock


def look(number: int, protocol: Protocol = "tcp") -> Port:
    port = sockwatch.take_snapshot(number).port(protocol, number)
    assert port is not None
    return port


@pytest.mark.parametrize(
    ("address", "v6only", "expected"),
    [
        ("127.0.0.1", None, ("ipv4", "127.0.0.1", False)),
        ("0.0.0.0", None, ("ipv4", "0.0.0.0", False)),
        ("::", False, ("ipv6", "::", False)),
        ("::", True, ("ipv6", "::", True)),
        ("::1", None, ("ipv6", "::1", True)),
        ("::ffff:127.0.0.1", None, ("ipv6", "::ffff:127.0.0.1", False)),
    ],
)
@pytest.mark.parametrize("kind", [TCP, UDP])
def test_listeners_of_each_address_family(
    netns: None, kind: int, address: str, v6only: bool | None, expected: tuple[str, str, bool]
) -> None:
    with bound(address, 8080, kind=kind, v6only=v6only) as sock:
        if kind == TCP:
            sock.listen(5)
        (found,) = look(8080, "tcp" if kind == TCP else "udp").listeners
        assert (found.family, found.address, found.v6only) == expected
        assert found.inode == os.fstat(sock.fileno()).st_ino
        assert found.uid == os.geteuid()
        assert found.state == ("LISTEN" if kind == TCP else "UNCONN")
        assert [(h.pid, h.fd) for h in found.holders] == [(os.getpid(), sock.fileno())]


@needs_bound
def test_bound_but_not_listening(netns: None) -> None:
    with bound("127.0.0.1", 8080) as sock:
        port = look(8080)
        assert port.states == {"BOUND": 1}
        assert port.listeners == ()
        assert port.bound[0].inode == os.fstat(sock.fileno()).st_ino
        assert port.holders == port.bound[0].holders


def test_a_device_bound_listener(netns: None) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        sock.bind(("0.0.0.0", 8080))
        sock.listen()
        assert look(8080).listeners[0].device == "lo"


def test_connected_udp(netns: None) -> None:
    with bound("127.0.0.1", 5353, kind=UDP) as sock:
        sock.connect(("127.0.0.1", 9))
        port = look(5353, "udp")
        assert port.states == {"ESTABLISHED": 1}
        assert port.connections is not None
        assert (port.connections[0].peer_address, port.connections[0].peer_port) == ("127.0.0.1", 9)


def test_an_mptcp_listener_is_a_tcp_listener(netns: None) -> None:
    try:
        sock = socket.socket(V4, TCP, 262)
    except OSError as error:
        pytest.skip(f"no MPTCP on this kernel: {error.strerror}")
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 8080))
        sock.listen()
        (found,) = look(8080).listeners
        assert [(h.pid, h.fd) for h in found.holders] == [(os.getpid(), sock.fileno())]
        assert found.flags.reuseaddr is True


def test_one_port_is_asked_for_in_the_kernel(netns: None) -> None:
    with listening("127.0.0.1", 8080), listening("127.0.0.1", 8081), bound("::1", 8080, kind=UDP):
        snapshot = sockwatch.take_snapshot(8080)
        assert {port.key for port in snapshot.ports} == {("tcp", 8080), ("udp", 8080)}
        assert snapshot.only_port == 8080
        assert {port.key for port in sockwatch.take_snapshot().ports} == {
            ("tcp", 8080),
            ("tcp", 8081),
            ("udp", 8080),
        }


def test_a_connection_without_an_fd_is_found_beside_the_listener(netns: None) -> None:
    """One port's walk through the table is left out only where the fds tell of every socket."""
    with listening("127.0.0.1", 8080, flags=(1, 0)) as server:
        flags = look(8080).listeners[0].flags
        with socket.create_connection(server.getsockname()):
            port = look(8080)
    assert port.listeners[0].flags == flags
    assert port.unaccepted == 1
    assert {group.flags for group in port.groups} == {
        flags if flags.source == "bpf" else UNKNOWN_FLAGS
    }


@pytest.mark.parametrize("port", [0, -1, 70000])
def test_an_impossible_port(port: int) -> None:
    with pytest.raises(ValueError, match="not within"):
        sockwatch.take_snapshot(port)


def test_a_clients_port_shows_who_connected(netns: None) -> None:
    with listening("127.0.0.1", 8080), socket.create_connection(("127.0.0.1", 8080)) as client:
        number = client.getsockname()[1]
        port = look(number)
        assert port.states == {"ESTABLISHED": 1}
        assert [(h.pid, h.fd) for h in port.holders] == [(os.getpid(), client.fileno())]


def ss_states() -> dict[str, int]:
    need("ss")
    names = {"ESTAB": "ESTABLISHED", "LISTEN": "LISTEN", "TIME-WAIT": "TIME_WAIT"}
    lines = subprocess.run(["ss", "-tanH"], capture_output=True, text=True, check=True).stdout
    found: dict[str, int] = {}
    for line in lines.splitlines():
        name = names[line.split()[0]]
        found[name] = found.get(name, 0) + 1
    return found


@pytest.mark.parametrize("ports", [1, 40])
def test_counts_equal_those_of_ss_after_a_churn(netns: None, ports: int) -> None:
    with ExitStack() as stack:
        pairs = make_time_waits(4000, ports, stack, keep_open=300)
        snapshot = sockwatch.take_snapshot(fold=False)
        states: dict[str, int] = {}
        for port in snapshot.ports:
            for state, count in port.states.items():
                states[state] = states.get(state, 0) + count
        assert states == ss_states()
        assert sum(port.time_wait.count for port in snapshot.ports) == 4000
        for number in pairs[:3]:
            whole, alone = snapshot.port("tcp", number), look(number)
            assert whole is not None
            assert alone.connections is not None
            assert len(alone.connections) == sum(group.count for group in whole.groups)
            assert sum(s.state == "TIME_WAIT" for s in alone.connections) == whole.time_wait.count


def test_inside_a_running_event_loop(netns: None) -> None:
    async def look_from_a_coroutine() -> Port:
        return look(8080)

    with listening("127.0.0.1", 8080):
        assert asyncio.run(look_from_a_coroutine()).states == {"LISTEN": 1}


def test_three_hundred_looks_leak_nothing(netns: None) -> None:
    reader = SnapshotReader()
    with listening("127.0.0.1", 8080):
        for _ in range(2):  # the second look opens one iterator more
            reader.take()
        before = sorted(os.listdir("/proc/self/fd"))
        for number in range(300):
            reader.take(8080 if number % 2 else None)
        assert sorted(os.listdir("/proc/self/fd")) == before


def test_where_netlink_is_refused(netns: None) -> None:
    def sandboxed() -> sockwatch.Snapshot:
        refuse_netlink()
        return sockwatch.take_snapshot()

    with (
        listening("127.0.0.1", 8080) as sock,
        listening("::", 8081),
        bound("127.0.0.1", 5353, kind=UDP),
        socket.create_connection(("127.0.0.1", 8080)),
    ):
        snapshot = in_child(sandboxed)
        assert [gap.code for gap in snapshot.gaps][:2] == ["sock-diag-refused"] * 2
        port = snapshot.port("tcp", 8080)
        assert port is not None
        assert port.states == {"LISTEN": 1, "ESTABLISHED": 1}
        assert port.listeners[0].uid == os.geteuid()
        assert port.listeners[0].inode == os.fstat(sock.fileno()).st_ino
        assert (port.listeners[0].queue, port.listeners[0].backlog) == (1, None)
        assert (port.orphans, port.unaccepted) == (0, 1)
        assert sock.fileno() in {holder.fd for holder in port.holders}
        dual = snapshot.port("tcp", 8081)
        assert dual is not None
        assert dual.listeners[0].v6only is None
        udp = snapshot.port("udp", 5353)
        assert udp is not None
        assert udp.states == {"UNCONN": 1}


@pytest.mark.skipif(not REAL_ROOT, reason="needs root to become somebody else")
def test_as_another_user(netns: None) -> None:
    with listening("127.0.0.1", 8080) as sock:

        def as_user() -> sockwatch.Snapshot:
            sock.close()
            become(1234)
            with listening("127.0.0.1", 8081, flags=(1, 0)):
                return sockwatch.take_snapshot()

        snapshot = in_child(as_user)
        foreign, own = snapshot.port("tcp", 8080), snapshot.port("tcp", 8081)
        assert foreign is not None
        assert own is not None
        assert foreign.listeners[0].uid == 0
        assert foreign.listeners[0].inode == os.fstat(sock.fileno()).st_ino
        assert foreign.listeners[0].flags == ReuseFlags(None, None, None)
        assert own.listeners[0].flags == ReuseFlags(True, False, "pidfd_getfd")
        assert own.holders[0].process is not None
        assert own.holders[0].process.uid == 1234
        gaps = {gap.code: gap for gap in snapshot.gaps}
        assert "root" in str(gaps[GapCode.HOLDERS_NOT_PERMITTED].remedy)
        assert "CAP_BPF" in str(gaps[GapCode.FLAGS_UNKNOWN])


def test_a_kernel_that_refuses_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> int:
        refuse_netlink()
        monkeypatch.setattr(proc_net, "FOLDER", "/proc/thread-self/no-net")
        with pytest.raises(KernelError) as caught:
            sockwatch.take_snapshot()
        return caught.value.errno

    assert in_child(nothing) == 1
