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
    name. `uid` and `gid` are the caller's; the kernel's bind test compares `socket_uid`. `repeats`
    is how many more calls of the process failed in the same way, too fast to be reported one by
    one.
    """

    time: float  # seconds since the epoch
    call: Call
    errno: str  # EADDRINUSE, ...; its number if it has no name
    pid: int | None
    tid: int | None
    comm: str  # the thread's name
    uid: int
    fd: int
    gid: int | None = None
    dac_override: bool = False  # CAP_DAC_OVERRIDE: the modes of files do not count
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
    capabilities_count: bool | None = None  # those of its user namespace, in the network namespace
    inode: int | None = None
    socket_family: str | None = None  # the address may be of another one
    address_length: int | None = None  # in bytes, as bind() was told; None for listen()
    is_bound: bool | None = None  # the socket had an address already
    port_range: tuple[int, int] | None = None  # IP_LOCAL_PORT_RANGE of the socket
    policies: Policies | None = None  # of an errno that a security policy may have answered
    unix: UnixName | None = None
    repeats: int = 0
    gaps: tuple[Gap, ...] = ()


class Policies(NamedTuple):
    """The security policies on a thread; None means unknown, and Landlock cannot be seen.

    `label` is what SELinux, AppArmor or Smack calls it, None also if it is not confined.
    `bind_programs` is how many BPF programs judge each bind() of its cgroup.
    """

    seccomp: bool | None = None
    label: str | None = None
    bind_programs: int | None = None


class Directory(NamedTuple):
    """A directory: the id of its mount, which no other mount namespace has, and its inode."""

    mount: int
    inode: int


class UnixName(NamedTuple):
    """The name of a unix socket as the kernel compares it; an abstract one starts with NUL.

    `root` and `cwd` are the thread's root and working directory when the call failed; None means
    unknown.
    """

    raw: bytes
    type: int | None  # SOCK_STREAM, ...: abstract names of two types do not meet
    root: Directory | None = None
    cwd: Directory | None = None

    @property
    def is_abstract(self) -> bool:
        """Whether the name is in the abstract namespace, without a file; unix(7)."""
        return self.raw.startswith(b"\0")


class UnixOwner(NamedTuple):
    """A unix socket that has the name. `state` is LISTEN, BOUND or CONNECTED."""

    state: str
    inode: int
    holders: tuple[Holder, ...] = ()


class FolderFault(NamedTuple):
    """The first folder of a path that does not let the file be made, and why: an errno's name.

    For EACCES, `uid`, `gid` and `mode` are the folder's, and `is_last` says whether it is the one
    that the file would be made in.
    """

    path: str
    errno: str
    uid: int = 0
    gid: int = 0
    mode: int = 0
    is_last: bool = True


class UnixNameStatus(NamedTuple):
    """What a unix socket's name refers to.

    `kind` is the type of the file: ``socket``, ``file``, ``directory``, ``symlink`` or ``other``;
    None if there is no file, or for an abstract name. `seen` is False if the path could not be
    inspected. `path` is an absolute name that leads to the same file from our own root directory,
    in our mount namespace; None if none is known, or if it cannot be printed as it is. `is_alive`:
    whether connect() reaches a socket there, in any network namespace; None means unknown. `fault`
    is what the folders of the path refuse to the program; None if nothing, or if it was not asked.
    """

    seen: bool
    kind: str | None = None
    owners: tuple[UnixOwner, ...] = ()
    gaps: tuple[Gap, ...] = ()
    is_alive: bool | None = None
    path: str | None = None
    fault: FolderFault | None = None
