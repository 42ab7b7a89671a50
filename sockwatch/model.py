"""The words of sockwatch as frozen values. No I/O happens here.

Three things are kept apart everywhere: zero is ``0``, unknown is ``None``, and what could not be
seen is a :class:`Gap` that says what would show it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Protocol = Literal["tcp", "udp"]
Family = Literal["ipv4", "ipv6"]

# idiag_state of include/net/tcp_states.h -> the name people know. UDP has two states of its own.
TCP_STATES: dict[int, str] = {
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RECV",
    4: "FIN_WAIT1",
    5: "FIN_WAIT2",
    6: "TIME_WAIT",
    7: "BOUND",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
}
UDP_STATES: dict[int, str] = {1: "ESTABLISHED", 7: "UNCONN"}
STATES: tuple[str, ...] = ("LISTEN", "UNCONN", *(s for s in TCP_STATES.values() if s != "LISTEN"))


class Gap(NamedTuple):
    """Something that could not be seen, and what would show it."""

    code: str
    text: str
    remedy: str


class Process(NamedTuple):
    """A process that holds sockets. All text has passed ``text.clean()``."""

    pid: int
    name: str
    command: str
    user: str
    uid: int
    start_time: float  # seconds since the epoch
    parent_pid: int | None
    state: str  # one letter as in proc_pid_stat(5): R S D T t Z ...
    unit: str | None  # systemd unit or container of its cgroup
    executable: str | None = None  # its path, or None if it may not be read


class Holder(NamedTuple):
    """A (process, fd) that keeps a socket open. `process` is None if it may not be identified."""

    pid: int
    fd: int
    process: Process | None


class ReuseFlags(NamedTuple):
    """SO_REUSEADDR and SO_REUSEPORT of a socket; None is unknown. `source` names the way."""

    reuseaddr: bool | None = None
    reuseport: bool | None = None
    source: str | None = None


UNKNOWN_FLAGS = ReuseFlags()


class SocketOptions(NamedTuple):
    """What sock_diag does not tell of a socket; `v6only` None means that it is not known."""

    flags: ReuseFlags
    v6only: bool | None = None


class Socket(NamedTuple):
    """One kernel socket.

    `address` is its current local address (a v4-mapped one stays ``::ffff:...`` and ipv6).
    `uid` is None for mini sockets (TIME_WAIT, FIN_WAIT2 after close()): the kernel keeps none.
    `inode` 0 means no fd; None that the table read does not tell. `v6only` is None where the
    kernel hides it. `queue` and `backlog` of a LISTEN are its accept queue now and at most.
    """

    protocol: Protocol
    family: Family
    state: str
    address: str
    port: int
    peer_address: str | None
    peer_port: int | None
    device: str | None
    v6only: bool | None
    uid: int | None
    inode: int | None
    cookie: int
    mini: bool
    queue: int | None
    backlog: int | None
    frees_in_s: float | None
    flags: ReuseFlags = UNKNOWN_FLAGS
    holders: tuple[Holder, ...] = ()


class SocketGroup(NamedTuple):
    """Sockets of one port that are alike in all that the kernel's bind test looks at.

    Connections and TIME_WAITs come as groups, since a busy host has 100,000 of them.
    `inodes` are those of the members that have an fd; None where the table does not tell.
    """

    family: Family
    state: str
    mini: bool
    address: str
    device: str | None
    v6only: bool | None
    uid: int | None
    count: int  # type: ignore[assignment] # nobody wants tuple.count here
    inodes: tuple[int, ...] | None
    first_frees_in_s: float | None
    last_frees_in_s: float | None
    flags: ReuseFlags = UNKNOWN_FLAGS


class FlagCounts(NamedTuple):
    """How many sockets have a flag, have it not, or are not known."""

    yes: int = 0
    no: int = 0
    unknown: int = 0

    @classmethod
    def of(cls, values: Iterable[tuple[bool | None, int]]) -> FlagCounts:
        """From (flag, number of sockets)."""
        counts: Counter[bool | None] = Counter()
        for value, number in values:
            counts[value] += number
        return cls(counts[True], counts[False], counts[None])


class TimeWait(NamedTuple):
    """The TIME_WAITs of a port; the times are None where there are none or no clock was seen."""

    count: int = 0  # type: ignore[assignment] # nobody wants tuple.count here
    first_frees_in_s: float | None = None
    last_frees_in_s: float | None = None
    reuseaddr: FlagCounts = FlagCounts()
    reuseport: FlagCounts = FlagCounts()

    @classmethod
    def of(cls, groups: Iterable[SocketGroup]) -> TimeWait:
        """Those among the groups of a port."""
        found = [group for group in groups if group.state == "TIME_WAIT"]
        if not found:
            return NO_TIME_WAIT
        firsts = [g.first_frees_in_s for g in found if g.first_frees_in_s is not None]
        lasts = [g.last_frees_in_s for g in found if g.last_frees_in_s is not None]
        return cls(
            sum(group.count for group in found),
            min(firsts, default=None),
            max(lasts, default=None),
            FlagCounts.of((group.flags.reuseaddr, group.count) for group in found),
            FlagCounts.of((group.flags.reuseport, group.count) for group in found),
        )


NO_TIME_WAIT = TimeWait()


class Port(NamedTuple):
    """Protocol + number within one network namespace, with everything seen on it.

    `states` counts owners by state; half-open requests own nothing and are counted apart.
    `orphans` were closed by their process but not yet by the peer, `unaccepted` wait in an accept
    queue; None where the table does not tell. `holders` are those of the listeners and bound
    sockets, or of the connections if there are neither. `connections` holds each remaining
    socket, made on access; it is None in a snapshot of all ports, which knows only `groups`.
    """

    protocol: Protocol
    number: int
    states: Mapping[str, int]
    listeners: tuple[Socket, ...] = ()
    bound: tuple[Socket, ...] = ()
    groups: tuple[SocketGroup, ...] = ()
    time_wait: TimeWait = NO_TIME_WAIT
    orphans: int | None = 0
    unaccepted: int | None = 0
    half_open: int = 0
    holders: tuple[Holder, ...] = ()
    connections: Sequence[Socket] | None = None

    @property
    def key(self) -> tuple[Protocol, int]:
        return (self.protocol, self.number)


class Netns(NamedTuple):
    """A network namespace: its inode number and, where it is known, its name."""

    inode: int
    name: str | None


class OwnAddress(NamedTuple):
    """An address, or a whole network, that the host takes for its own.

    `network` is written as in ``127.0.0.0/8`` or ``10.1.2.3/32``, or the broadcast
    address of a network; `tentative` is an IPv6 address whose duplicate detection still runs.
    """

    network: str
    device: str | None = None
    tentative: bool = False


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the answer depends on besides the sockets. None is: not seen.

    `uid` is the caller's file-system uid, `net_bind_service` whether the caller has
    CAP_NET_BIND_SERVICE over the network namespace. `port_range` is ip_local_port_range, both
    ends included; `reserved_ports` are the (first, last) pairs of ip_local_reserved_ports.
    """

    uid: int | None = None
    net_bind_service: bool | None = None
    unprivileged_port_start: int | None = None
    ipv6: bool | None = None
    bindv6only: bool | None = None
    nonlocal_bind_ipv4: bool | None = None
    nonlocal_bind_ipv6: bool | None = None
    port_range: tuple[int, int] | None = None
    reserved_ports: tuple[tuple[int, int], ...] = ()
    autobind_reuse: bool | None = None
    addresses: tuple[OwnAddress, ...] | None = None
    devices: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at the host. It is not a point in time: a dump takes milliseconds."""

    host: str
    kernel: str
    time: float  # seconds since the epoch
    took_s: float
    netns: Netns
    ports: tuple[Port, ...]
    gaps: tuple[Gap, ...] = ()
    only_port: int | None = None
    facts: HostFacts = field(default_factory=HostFacts)
    _by_key: dict[tuple[str, int], Port] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_key", {port.key: port for port in self.ports})

    def port(self, protocol: Protocol, number: int) -> Port | None:
        """The port, or None if no socket is on it."""
        return self._by_key.get((protocol, number))


class SockwatchError(Exception):
    """An error whose text is a sentence for the user. Base of all that sockwatch raises."""


class KernelError(SockwatchError):
    """The kernel refused a question. `errno` is its answer."""

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(message)
        self.errno = errno
