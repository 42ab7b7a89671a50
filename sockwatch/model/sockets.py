"""Sockets, their reuse flags, and the processes that hold them."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

from sockwatch.model.ids import Id
from sockwatch.model.origin import SHORT_ID, Origin

Protocol = Literal["tcp", "udp"]
Family = Literal["ipv4", "ipv6"]
PROTOCOLS: Final[tuple[Protocol, ...]] = get_args(Protocol)

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


class HaltKind(Id):
    """What can keep a process from running."""

    STOPPED = "stopped", "by a signal, until SIGCONT"
    TRACED = "traced", "by a debugger or another tracer, until that lets it go on"
    FROZEN = "frozen", "with its cgroup, until that is thawed"


class Halt(NamedTuple):
    """What keeps a process from running, so that it answers nobody.

    `by` is the tracer, as ``gdb(812)``, or the folder of the cgroup that was frozen; None if
    neither, or not seen. `thaw` is the shell command that thaws that folder, to be put in for
    ``{}``; None if it is not frozen.
    """

    kind: str  # a HaltKind
    by: str | None = None
    thaw: str | None = None


class Ancestor(NamedTuple):
    """A process above another one: its parent, or the parent of that, and so on.

    `name` is its comm, which it may choose itself; `executable` is None if it may not be read.
    """

    pid: int
    name: str
    start_time: float  # seconds since the epoch
    executable: str | None


class Orphan(NamedTuple):
    """What shows that the process which started another one has gone.

    `reaper` is its parent now, as ``systemd(1)``. `group` is its process group. `is_certain`: it
    is in a session that neither it nor the reaper has begun; else the reaper may have started it.
    `is_job`: it is in a process group of somebody else, which is not a whole session, and does not
    ignore the signals that are not to reach what was sent to the background.
    """

    reaper: str
    group: int
    is_certain: bool
    is_job: bool


class Process(NamedTuple):
    """A process that holds sockets. Text is printable: it has passed ``text.clean()``.

    `arguments` are the words that `command` joins: an element more, ``…``, stands for what was not
    read; empty where the command line is unknown. A program may put anything there.

    `start_ticks` is its start time as the kernel counts it, in clock ticks since boot, None if not
    read: with the pid, it names a process for good.

    All from `cwd` on but `orphan`, `origin` and `start_ticks` are read for the holders of one port,
    and None in a look at all ports. `namespaces` are those that are not ours, of ``pid`` and
    ``user``, which decide who its pids and its uids are; None if they may not be read. `is_first`:
    it is the first process of a pid namespace. `ignores_sigterm`: that signal does not end it.
    `cwd` is as proc_pid_cwd(5) shows it, with `` (deleted)`` where the folder is gone; None if it
    may not be read. `ancestors` are the nearest first, up to pid 1 unless one of them is hidden or
    they are very many; empty if the process has no parent here, None if that may not be read.
    `orphan` is None where nothing shows that the one who started it has gone, and of the leader of
    a session: a daemon has left on purpose.
    """

    pid: int
    name: str
    command: str
    user: str
    uid: int
    start_time: float  # seconds since the epoch
    parent_pid: int | None
    state: str  # one letter as in proc_pid_stat(5): R S D T t Z ...
    executable: str | None = None  # its path; None if it may not be read
    service: Service | None = None  # None if it is in none, or in a container's
    halt: Halt | None = None
    # For how many seconds, at least, it has been in one uninterruptible sleep (state D); 0 where
    # that was seen for the first time. None if it is in no such sleep.
    sleeps_s: float | None = None
    arguments: tuple[str, ...] = ()
    cwd: str | None = None
    ancestors: tuple[Ancestor, ...] | None = None
    orphan: Orphan | None = None
    origin: Origin | None = None  # innermost; None if it is in none, or that may not be read
    namespaces: tuple[str, ...] | None = None
    is_first: bool | None = None
    ignores_sigterm: bool | None = None
    start_ticks: int | None = None

    @property
    def unit(self) -> str | None:
        """The unit that a systemd of the host has for it, as root or as a user; None if none has.

        Also None of a process in a container, whose own systemd may have one.
        """
        if self.origin is None or self.origin.container is not None:
            return None
        return self.origin.unit

    @property
    def container(self) -> str | None:
        """The id of its container, of 12 digits, or the name if it has no id; None if in none."""
        container = None if self.origin is None else self.origin.container
        return None if container is None else container.id[:SHORT_ID] or container.name

    @property
    def reparented(self) -> bool:
        """Whether another process than its parent has started it, for certain."""
        return self.orphan is not None and self.orphan.is_certain


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
    those: `uid` is None (also where it has no number in our user namespace), `inode` 0. Other
    sockets with `inode` 0 have no fd either; None means that the table does not tell. `cookie` is
    the kernel's id of the socket, unique until reboot, kept by its TIME_WAIT; 0 if unknown.

    `automatic`: the kernel chose the port, for bind() to port 0, connect() or accept(); False if
    bind() named it (SOCK_BINDPORT_LOCK of include/net/sock.h). None where it is unknown: of a mini
    socket, and in a snapshot of all ports.

    `queue` and `backlog` of a LISTEN are the connections in its accept queue, now and at most;
    for other states idiag_rqueue and idiag_wqueue. None means that the table does not tell.
    `frees_in_s` is how many seconds a mini socket has left; None for any other. `freebind` is
    IP_FREEBIND or IP_TRANSPARENT, by which bind() takes any address; None means unknown.

    `drops` of a LISTEN is sk_drops, the packets for it that the kernel has dropped: a handshake
    for which its queues had no room, each time that it was tried (tcp_listendrop() of
    include/net/tcp.h), and what fits no handshake (tcp_rcv_state_process() of
    net/ipv4/tcp_input.c). None means unknown, and for other sockets.
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
    freebind: bool | None = None
    automatic: bool | None = None
    drops: int | None = None

    @property
    def is_queue_full(self) -> bool:
        """Whether it is a TCP listener that the kernel lets nobody connect to before accept().

        sk_acceptq_is_full() of include/net/sock.h: one connection more than the backlog.
        """
        if self.state != "LISTEN" or self.queue is None or self.backlog is None:
            return False
        return self.queue > self.backlog


class SocketGroup(NamedTuple):
    """Sockets of one port that the kernel's bind test cannot tell apart.

    Connections and TIME_WAITs come as groups, since a busy host has 100,000 of them. Fields that
    Socket has too mean the same. `count` is how many sockets it stands for, `with_fd` how many of
    them have an fd; None where the table does not tell. `first_frees_in_s` and `last_frees_in_s`
    are how many seconds the first and the last of the mini sockets have left; None for other
    sockets, and where the table shows no clock. Of the fds that a process has for the members,
    `holders` has a few. Of the sockets with an fd, `unread` have data that nobody has read, and
    `unacknowledged` have sent what the peer has not acknowledged; None in a snapshot
    of all ports.
    """

    family: Family
    state: str
    mini: bool
    address: str
    device: str | None
    v6only: bool | None
    uid: int | None
    count: int  # type: ignore[assignment] # nobody wants tuple.count here
    with_fd: int | None
    first_frees_in_s: float | None
    last_frees_in_s: float | None
    flags: ReuseFlags = UNKNOWN_FLAGS
    holders: tuple[Holder, ...] = ()
    automatic: bool | None = None
    unread: int | None = None
    unacknowledged: int | None = None
