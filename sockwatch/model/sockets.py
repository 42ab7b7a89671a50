"""Sockets, their reuse flags, and the processes that hold them."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from sockwatch.model.ids import Id

Protocol = Literal["tcp", "udp"]
Family = Literal["ipv4", "ipv6"]

# idiag_state of include/net/tcp_states.h; 7 is TCP_CLOSE, which sock_diag gives bound sockets.
TCP_STATES: Final[dict[int, str]] = {
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
UDP_STATES: Final[dict[int, str]] = {1: "ESTABLISHED", 7: "UNCONN"}
# In the order in which they are listed, each with its meaning.
STATES: Final[dict[str, str]] = {
    "LISTEN": "TCP: accepts connections",
    "UNCONN": "UDP: bound without a peer",
    "ESTABLISHED": "connected; a UDP socket that has called connect() too",
    "SYN_SENT": "connecting",
    "SYN_RECV": "a fast open connection whose handshake is not complete",
    "FIN_WAIT1": "closed here; the peer has not acknowledged it",
    "FIN_WAIT2": "closed here; the peer has acknowledged it and not closed its side",
    "TIME_WAIT": "closed on both sides; kept for 60 s in case packets arrive late",
    "BOUND": "TCP: has a port, neither listens nor is connected",
    "CLOSE_WAIT": "closed by the peer, not here",
    "LAST_ACK": "closed on both sides; the peer has not acknowledged it",
    "CLOSING": "closed on both sides at once; the peer has not acknowledged it",
}


class Service(NamedTuple):
    """The systemd service of a process, by a cgroup that its manager made.

    `manager_uid` is the user whose manager runs it, None for the system's. `main_pid` is the oldest
    process of the service; None if that could not be read.
    """

    name: str
    manager_uid: int | None
    main_pid: int | None


class Process(NamedTuple):
    """A process that holds sockets. Text is printable: it has passed ``text.clean()``."""

    pid: int
    name: str
    command: str
    user: str
    uid: int
    start_time: float  # seconds since the epoch
    parent_pid: int | None
    state: str  # one letter as in proc_pid_stat(5): R S D T t Z ...
    unit: str | None  # systemd unit or container, by its cgroup; None if it has none
    executable: str | None = None  # its path; None if it may not be read
    service: Service | None = None  # None if it is in none, or in a container's


class Holder(NamedTuple):
    """A (process, fd) that keeps a socket open. `process` is None if it may not be read."""

    pid: int
    fd: int
    process: Process | None


class FlagsSource(Id):
    """How the reuse flags of a socket were learnt."""

    BPF = "bpf", "read from the kernel by a BPF iterator"
    PIDFD_GETFD = "pidfd_getfd", "getsockopt(2) on a duplicate of the holder's fd"
    REMEMBERED = "remembered", "read in an earlier poll"


class ReuseFlags(NamedTuple):
    """SO_REUSEADDR and SO_REUSEPORT of a socket, as in socket(7); None means unknown.

    `source` is None where both are unknown.
    """

    reuseaddr: bool | None = None
    reuseport: bool | None = None
    source: str | None = None  # a FlagsSource


UNKNOWN_FLAGS: Final = ReuseFlags()


class SocketOptions(NamedTuple):
    """Options of a socket that sock_diag does not show. `v6only` None means unknown."""

    flags: ReuseFlags
    v6only: bool | None = None


class Socket(NamedTuple):
    """One kernel socket, as sock_diag(7) shows it.

    `address` is its current local address; a v4-mapped one is written ``::ffff:...`` and counts
    as ipv6. `peer_address` and `peer_port` are None for a socket without a peer. `device` is the
    interface it is bound to; None means any. `v6only` is IPV6_V6ONLY; None for IPv4, and where
    the kernel hides it (it shows it for LISTEN, BOUND and UNCONN only).

    `mini`: a TIME_WAIT, or a FIN_WAIT2 after close(). The kernel keeps neither a uid nor an fd for
    those: `uid` is None (also where a table read from /proc/net has none), `inode` 0. Other
    sockets with `inode` 0 have no fd either; None means that the table does not tell. `cookie` is
    the kernel's id of the socket, unique until reboot, kept by its TIME_WAIT; 0 if unknown.

    `queue` and `backlog` of a LISTEN are the connections in its accept queue, now and at most;
    for other states idiag_rqueue and idiag_wqueue. None means that the table does not tell.
    `frees_in_s` is how many seconds a mini socket has left; None for any other.
    """

    protocol: Protocol
    family: Family
    state: str  # a key of STATES
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
    """Sockets of one port that the kernel's bind test cannot tell apart.

    Connections and TIME_WAITs come as groups, since a busy host has 100,000 of them. Fields that
    Socket has too mean the same. `count` is how many sockets it stands for. `inodes` are those of
    the members that have an fd; None where the table does not tell. `first_frees_in_s` and
    `last_frees_in_s` are how many seconds the first and the last of the mini sockets have left;
    None for other sockets, and where the table shows no clock.
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
