"""What wakes a wait: on real sockets and processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from sockwatch.kernel import wakeups
from sockwatch.kernel.wakeups import NOTHING, Wakeup, Wakeups
from tests.bind.calls import attempt
from tests.support.child import idle_child
from tests.support.netns import fresh_netns, setns
from tests.support.privilege import needs_root
from tests.support.tools import need
from tests.support.waiting import PATIENCE_S, wait_until

PORT = 8080
SO_COOKIE = 57


@pytest.fixture
def woken(netns: None) -> Iterator[Wakeups]:
    with Wakeups([PORT]) as woken:
        yield woken


def cookie(sock: socket.socket) -> int:
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), "little")


def close_one(port: int, kind: socket.SocketKind = socket.SOCK_STREAM, host: str = "::1") -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as sock:
        # Who looks at all fds of the host keeps one alive for a moment after it has been closed.
        wait_until(lambda: attempt(lambda: sock.bind((host, port))) == "ok")
        return cookie(sock)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_sockets_of_the_port_wake_it_and_no_others(
    woken: Wakeups, kind: socket.SocketKind, host: str
) -> None:
    close_one(PORT + 1, kind, host)
    gone = close_one(PORT, kind, host)
    close_one(PORT ^ 0x100, kind, host)
    seen = set[int]()
    while gone not in seen:
        woken_by = woken.wait(PATIENCE_S)
        assert woken_by == Wakeup(destroyed=woken_by.destroyed) != NOTHING
        seen |= woken_by.destroyed
    assert seen == {gone}
    last = close_one(PORT, kind, host)  # so that no other is on its way any more
    assert woken.wait(PATIENCE_S).destroyed == {last}


def test_events_of_many_ports(netns: None) -> None:
    with Wakeups(range(PORT, PORT + 255)) as woken:
        gone = [close_one(port) for port in (PORT, PORT + 100, PORT + 254)]
        close_one(PORT + 255)
        seen = set[int]()
        while not seen.issuperset(gone):
            seen |= woken.wait(PATIENCE_S).destroyed
        assert seen == set(gone)


def test_what_does_not_fit_is_told(woken: Wakeups) -> None:
    assert woken._destroyed is not None
    woken._destroyed._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)

    def flood() -> bool:
        for _ in range(100):
            close_one(PORT)
        return woken.wait(PATIENCE_S).lost

    wait_until(flood)
    wait_until(lambda: close_one(PORT) in woken.wait(PATIENCE_S).destroyed)


def test_a_process_that_ends_wakes_it_once(woken: Wakeups) -> None:
    with idle_child() as pid, idle_child() as other:
        assert not woken.watch([pid, other])
        os.kill(pid, signal.SIGKILL)
        assert woken.wait(PATIENCE_S) == Wakeup(ended=True)
        assert woken.wait(0) == NOTHING
        os.kill(other, signal.SIGKILL)
        assert woken.wait(PATIENCE_S) == Wakeup(ended=True)


def test_a_process_that_is_not_watched_any_more_does_not_wake_it(woken: Wakeups) -> None:
    with idle_child() as pid:
        woken.watch([pid])
        woken.watch([])
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert woken.wait(0) == NOTHING


def test_a_process_that_has_ended_is_told_once(woken: Wakeups) -> None:
    with idle_child() as pid:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert woken.watch([pid])
    assert not woken.watch([pid])


def test_only_so_many_processes_are_watched(
    woken: Wakeups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "MOST_PROCESSES", 1)
    with idle_child() as first, idle_child() as second:
        woken.watch([first, second])
        assert list(woken._pidfds) == [first]


@pytest.mark.parametrize("seconds", [-1.0, 0.0])
def test_a_time_that_is_over_is_not_waited_for(woken: Wakeups, seconds: float) -> None:
    assert woken.wait(seconds) == NOTHING


def test_nothing_stays_open(netns: None) -> None:
    before = os.listdir("/proc/self/fd")
    with idle_child() as pid, Wakeups([PORT]) as woken:
        woken.watch([pid])
        woken.watch_addresses()
    assert os.listdir("/proc/self/fd") == before


@needs_root
def test_namespaces_with_an_id_here_are_heard_everywhere(netns: None) -> None:
    need("ip")
    with open("/proc/thread-self/ns/net") as here, Wakeups([PORT], everywhere=True) as woken:
        with fresh_netns():
            with open("/proc/thread-self/ns/net") as there:
                setns(here.fileno())
                place = f"/proc/{os.getpid()}/fd/{there.fileno()}"
                link = ["ip", "link", "add", "v0", "type", "veth", "peer", "v1", "netns", place]
                subprocess.run(link, check=True)
                setns(there.fileno())
            gone = close_one(PORT)
        assert woken.wait(PATIENCE_S).destroyed == {gone}
