"""The kernel as the judge: real sockets on one port, in a network namespace of their own.

`Stage` makes the sockets and remembers of each what no dump shows; `read_snapshot` is the one
place that turns them into a Snapshot.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from sockwatch.bind import BindRequest
from sockwatch.model import (
    TCP_STATES,
    UDP_STATES,
    Family,
    HostFacts,
    Link,
    Netns,
    OwnAddress,
    Port,
    Protocol,
    ReuseFlags,
    Route,
    RouteTable,
    Snapshot,
    Socket,
    SocketGroup,
)
from tests.bind.calls import abort, attempt, new_socket, set_flags
from tests.support.sock_diag import Diag, Ends, Row
from tests.support.user import as_user
from tests.support.waiting import wait_until

IP_LOCAL_PORT_RANGE = 51
PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
SO_COOKIE = 57

PEER_PORTS = (60000, 64999)  # what the far ends of our connections use
FIRST_PORT, LAST_PORT = 2000, 59999
SINK_PORT, FULL_SINK_PORT = 1500, 1501
OTHER_UID = 1234

FACTS = HostFacts(
    uid=0,
    net_bind_service=True,
    unprivileged_port_start=1024,
    ipv6=True,
    bindv6only=False,
    nonlocal_bind_ipv4=False,
    nonlocal_bind_ipv6=False,
    port_range=(1024, 65000),
    autobind_reuse=False,
    ipv4_tables=(RouteTable(255, (Route("127.0.0.0/8", "lo"),)),),
    ipv6_addresses=(OwnAddress("::1", "lo"),),
    links=(Link("lo"),),
)


@dataclass
class Tracked:
    """A socket of ours: with `sock` while it has an fd; flags as last known."""

    protocol: Protocol
    family: Family
    uid: int
    flags: ReuseFlags
    v6only: bool
    sock: socket.socket | None
    ends: Ends | None = None
    cookie: bytes | None = None  # tells it from a later socket between the same ends
    peer: socket.socket | None = None
    explicit: bool = False  # bind() asked for the port
    queue: Tracked | None = None  # the listener that has not accepted it yet

    def refresh(self) -> None:
        """Read what only an fd shows."""
        if self.sock is None:
            return
        option = self.sock.getsockopt
        self.flags = ReuseFlags(
            option(socket.SOL_SOCKET, socket.SO_REUSEADDR) != 0,
            option(socket.SOL_SOCKET, socket.SO_REUSEPORT) != 0,
        )
        self.cookie = option(socket.SOL_SOCKET, SO_COOKIE, 8)
        if self.family == "ipv6":
            self.v6only = option(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) != 0
        with suppress(OSError):
            self.ends = Ends(self.sock.getsockname()[:2], self.sock.getpeername()[:2])

    def close(self) -> None:
        """Give up the fd; the kernel may keep the socket."""
        if self.sock is not None:
            self.refresh()
            self.sock.close()
            self.sock = None

    @property
    def address(self) -> str:
        """The local address, as the kernel has it."""
        assert self.sock is not None
        return str(self.sock.getsockname()[0])

    @property
    def state(self) -> int:
        """The kernel's number of the state."""
        assert self.sock is not None
        if self.protocol == "udp":
            try:
                self.sock.getpeername()
            except OSError:
                return 7
            return 1
        return self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


class Stage:
    """The sockets of a test on one port, the far ends of their connections, and the questions."""

    def __init__(self, protocol: Protocol, port: int, shared: Shared) -> None:
        self.protocol = protocol
        self.port = port
        self.shared = shared
        self.tracked: list[Tracked] = []
        self._others: list[socket.socket] = []

    def make(
        self, family: Family, reuseaddr: bool, reuseport: bool, v6only: bool = False, uid: int = 0
    ) -> Tracked:
        """A socket of the user `uid` with these flags, not bound yet."""
        kind = socket.SOCK_STREAM if self.protocol == "tcp" else socket.SOCK_DGRAM
        with as_user(uid):
            s = socket.socket(socket.AF_INET if family == "ipv4" else socket.AF_INET6, kind)
        set_flags(s, reuseaddr, reuseport)
        if family == "ipv6":
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        s.setblocking(False)
        one = Tracked(self.protocol, family, uid, ReuseFlags(reuseaddr, reuseport), v6only, s)
        self.tracked.append(one)
        return one

    def bind(self, one: Tracked, address: str) -> None:
        """Bind it to the stage's port, explicitly."""
        assert one.sock is not None
        one.sock.bind((address, self.port))
        one.explicit = True

    def accept(self, target: str, *, take: bool = True) -> Tracked:
        """A connection to the port by way of `target`; `take` False leaves it in the queue.

        Which listener gets it is the kernel's choice, so no other connection may be waiting.
        """
        peer = self._far_end(target)
        with choosing(peer, *PEER_PORTS):
            peer.connect((target, self.port))
        peer.setblocking(False)
        self.wait(lambda: any(_readable(t.sock) for t in self._listeners))
        listener = next(t for t in self._listeners if _readable(t.sock))
        listener.refresh()
        here, there = (target, self.port), peer.getsockname()[:2]
        if listener.family == "ipv6":
            here, there = ((_in_family(a, "ipv6"), port) for a, port in (here, there))
        child = Tracked(
            "tcp", listener.family, listener.uid, listener.flags, listener.v6only, None,
            Ends(here, there), peer=peer, queue=listener,
        )  # fmt: skip
        self.tracked.append(child)
        self.find(child)
        if take:
            self.take(child)
        return child

    @property
    def _listeners(self) -> list[Tracked]:
        return [t for t in self.tracked if t.sock is not None and t.state == 10]

    def take(self, child: Tracked) -> None:
        """accept(): the connection belongs to the user who calls it."""
        assert child.queue is not None
        assert child.queue.sock is not None
        child.sock, _ = child.queue.sock.accept()
        child.sock.setblocking(False)
        child.uid = 0
        child.queue = None
        child.refresh()

    def connect(self, one: Tracked, target: str, *, automatic: bool = False) -> None:
        """Connect a socket of ours to the sink; `automatic`: connect() has to choose our port."""
        assert one.sock is not None
        target = _in_family(target, one.family)
        from_port = choosing(one.sock, self.port, self.port) if automatic else nullcontext()
        with from_port, suppress(BlockingIOError):
            one.sock.connect((target, SINK_PORT if self.protocol == "tcp" else 9))
        one.refresh()
        if self.protocol == "tcp":
            self.wait(lambda: _readable(self.shared.sink))
            one.peer, _ = self.shared.sink.accept()
            one.peer.setblocking(False)

    def connect_in_vain(self, one: Tracked, target: str) -> None:
        """Leave a socket of ours in SYN_SENT: the sink's accept queue is full."""
        assert one.sock is not None
        with suppress(BlockingIOError):
            one.sock.connect((_in_family(target, one.family), FULL_SINK_PORT))
        one.refresh()

    def _far_end(self, target: str) -> socket.socket:
        s = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        s.settimeout(5)
        self._others.append(s)
        return s

    def wait(self, done: Callable[[], bool]) -> None:
        """Loopback is quick but not always synchronous: ask until it is done."""
        wait_until(done, lambda: f"the sockets did not get there: {self._rows()}")

    def _rows(self) -> list[tuple[Ends | None, Row | None]]:
        return [(t.ends, t.ends and self.shared.diag.find(t.family, t.ends)) for t in self.tracked]

    def find(self, one: Tracked) -> Row | None:
        """The row of a socket without an fd; None if the kernel no longer has it."""
        if one.ends is None:
            return None
        row = self.shared.diag.find(one.family, one.ends, one.cookie)
        if row is not None:
            one.cookie = row.cookie
        return row

    def ask(self, request: BindRequest) -> tuple[str, str | None]:
        """What the kernel answers to bind() and, if that succeeds, to listen()."""
        with as_user(request.uid or 0):
            s = new_socket(request)
        try:
            answer = attempt(lambda: s.bind((request.address, request.port)))
            if answer != "ok" or request.protocol == "udp":
                return answer, None
            return answer, attempt(lambda: s.listen(1))
        finally:
            s.close()

    def forget_far_ends(self) -> None:
        """Close this process's copies of them, for one that has been forked."""
        for s in (*self._others, *self.shared.sockets):
            s.close()

    def close(self) -> None:
        """End everything, leaving as few TIME_WAITs as can be."""
        for one in self.tracked:
            for s in (one.peer, one.sock):
                if s is not None:
                    abort(s)
        for s in self._others:
            abort(s)
        self.tracked.clear()


class Shared:
    """What the stages of one namespace have in common."""

    def __init__(self) -> None:
        self.diag = Diag()
        self.sink = self._listen(SINK_PORT, 100)
        self._full = self._listen(FULL_SINK_PORT, 0)
        self._fill = []
        for _ in range(2):
            s = socket.socket()
            s.setblocking(False)
            with choosing(s, *PEER_PORTS), suppress(BlockingIOError):
                s.connect(("127.0.0.1", FULL_SINK_PORT))
            self._fill.append(s)

    @property
    def sockets(self) -> list[socket.socket]:
        """Those that are open in this process."""
        return [self.sink, self._full, *self._fill]

    @staticmethod
    def _listen(port: int, backlog: int) -> socket.socket:
        s = socket.socket(socket.AF_INET6)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        s.setblocking(False)
        s.bind(("::", port))
        s.listen(backlog)
        return s


def read_snapshot(stage: Stage) -> Snapshot:
    """The stage's tracked sockets as a Snapshot: state and address from the kernel, known flags."""
    listeners: list[Socket] = []
    bound: list[Socket] = []
    groups: list[SocketGroup] = []
    for one in stage.tracked:
        one.refresh()
        if one.sock is not None:
            address, port = one.sock.getsockname()[:2]
            if port != stage.port or (one.state == 7 and not one.explicit):
                continue  # it dropped its port, whatever getsockname() says
            row = Row(one.state, False, one.uid, 1, 0, b"")
        else:
            found = stage.find(one)
            if found is None or one.ends is None:
                continue
            row, address = found, one.ends.local[0]
        names = TCP_STATES if stage.protocol == "tcp" else UDP_STATES
        state = names[row.state]
        uid = None if row.mini else row.uid
        v6only = one.v6only if one.family == "ipv6" else None
        expires = row.expires_ms / 1000 if row.mini else None
        if state in ("LISTEN", "UNCONN", "BOUND"):
            (bound if state == "BOUND" else listeners).append(
                Socket(
                    stage.protocol, one.family, state, address, stage.port, None, None, None,
                    v6only, uid, row.inode, 0, row.mini, None, None, expires, one.flags,
                )
            )  # fmt: skip
        else:
            groups.append(
                SocketGroup(
                    one.family, state, row.mini, address, None, v6only, uid, 1, 0,
                    expires, expires, one.flags,
                )
            )  # fmt: skip
    port = Port(stage.protocol, stage.port, {}, tuple(listeners), tuple(bound), tuple(groups))
    return snapshot_of(port)


def snapshot_of(*ports: Port, kernel: str | None = None) -> Snapshot:
    """A snapshot of these ports; `kernel` None is the running one."""
    release = os.uname().release if kernel is None else kernel
    return Snapshot("test", release, 0.0, 0.0, Netns(1, None), ports)


@contextmanager
def choosing(s: socket.socket, first: int, last: int) -> Iterator[None]:
    """Meanwhile connect() of this socket chooses its port from these."""
    try:
        s.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("=HH", first, last))
    except OSError:  # before 6.3
        before = PORT_RANGE.read_text()
        PORT_RANGE.write_text(f"{first} {last}")
        yield
        PORT_RANGE.write_text(before)
    else:
        yield


def _readable(s: socket.socket | None) -> bool:
    assert s is not None
    return bool(select.select([s], [], [], 0)[0])


def _in_family(address: str, family: Family) -> str:
    if family == "ipv6" and ip_address(address).version == 4:
        return f"::ffff:{address}"
    return address
