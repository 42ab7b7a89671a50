"""A bind() or listen() that failed, as it was seen. Frozen values; no I/O happens here."""

from __future__ import annotations

from typing import Literal, NamedTuple

from sockwatch.model import UNKNOWN_FLAGS, Gap, Holder, Process, ReuseFlags

Call = Literal["bind", "listen"]


class Failure(NamedTuple):
    """One failed call of one thread; None means unknown.

    `process` is read from /proc, or is what the kernel recorded if the process had exited.
    `protocol` is ``tcp``, ``udp``, ``unix`` or ``other``, `family` ``ipv4``, ``ipv6``, ``unix`` or
    the kernel's name of another one. `address` and `port` are what was requested, for listen()
    what the socket is bound to; a unix socket's address is its path, or ``@`` and its abstract
    name. `uid` is the caller's, `socket_uid` the one that the kernel's bind test compares.
    `repeats` is how many more calls of the process failed in the same way, too fast to be reported
    one by one.
    """

    time: float  # seconds since the epoch
    call: Call
    errno: str  # EADDRINUSE, EACCES, EADDRNOTAVAIL
    pid: int | None
    tid: int | None
    comm: str  # the thread's name
    uid: int
    fd: int
    process: Process | None = None
    parent_name: str | None = None
    protocol: str | None = None
    family: str | None = None
    address: str | None = None
    port: int | None = None
    device_index: int = 0  # bound device, or the zone of the address; 0 is none
    netns_inode: int | None = None
    flags: ReuseFlags = UNKNOWN_FLAGS
    v6only: bool | None = None
    socket_uid: int | None = None
    own_group: bool = False  # a SO_REUSEPORT group of its own, which the kernel lets share nothing
    net_bind_service: bool | None = None  # CAP_NET_BIND_SERVICE where it counts
    inode: int | None = None
    unix: UnixName | None = None
    repeats: int = 0
    gaps: tuple[Gap, ...] = ()


class UnixName(NamedTuple):
    """The name of a unix socket as the kernel compares it; an abstract one starts with NUL."""

    raw: bytes
    type: int | None  # SOCK_STREAM, ...: abstract names of two types do not meet

    @property
    def is_abstract(self) -> bool:
        """Whether the name is in the abstract namespace, without a file; unix(7)."""
        return self.raw.startswith(b"\0")


class UnixOwner(NamedTuple):
    """A unix socket that has the name. `state` is LISTEN, BOUND or CONNECTED."""

    state: str
    inode: int
    holders: tuple[Holder, ...] = ()


class UnixNameStatus(NamedTuple):
    """What a unix socket's name refers to.

    `kind` is the type of the file: ``socket``, ``file``, ``directory``, ``symlink`` or ``other``;
    None if there is no file, or for an abstract name. `seen` is False if the path could not be
    inspected. `is_alive`: whether connect() reaches a socket there, in any network namespace; None
    means unknown.
    """

    seen: bool
    kind: str | None = None
    owners: tuple[UnixOwner, ...] = ()
    gaps: tuple[Gap, ...] = ()
    is_alive: bool | None = None
