"""What the programs write and what the rest of sockwatch gets: the records and their meaning.

The columns below are the one definition of both: programs store by these names, user space
unpacks by the same table.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias, overload

from sockwatch.kernel.bpf.assembler import Column

# Every column is aligned to its width: the verifier insists. An IPv4 address is the first 4 bytes
# of its 16, the rest is zero. Columns that a program leaves alone are zero as well.
_KEY = (
    ("address", "16s"),
    ("peer", "16s"),
    ("device", "I"),
    ("uid", "I"),
    ("port", "H"),
    ("peer_port", "H"),
    ("family", "H"),
    ("flags", "B"),
    ("state", "B"),
    ("kind", "B"),
    ("client", "B"),
    ("spilled", "B"),
    ("udp", "B"),
)
_HOLDER_KEY = (*_KEY, ("pid", "i"), ("netns_inode", "I"))
_ROW = (
    *_HOLDER_KEY,
    ("fd", "i"),
    ("cookie", "Q"),
    ("inode", "Q"),
    ("frees_in_jiffies", "q"),
)
_TALLY = (
    ("sockets", "Q"),
    ("first_expiry", "q"),
    ("last_expiry", "q"),
    ("lowest_port", "H"),
    ("highest_port", "H"),
    ("spare", "I"),
)
_HOLDER_TALLY = (("fds", "Q"), ("fd", "I"), ("spare", "I"))
_OWN_PORT = (("netns_inode", "I"), ("port", "I"))
_TASK = (
    ("started_ns", "Q"),
    ("cgroup_id", "Q"),
    ("comm", "16s"),
    ("pid", "I"),
    ("parent_pid", "I"),
    ("state", "I"),
    ("exit_state", "I"),
    ("uid", "I"),
    ("execs", "I"),
)
_OPTIONS = (
    ("netns_inode", "I"),
    ("port", "H"),
    ("wanted", "H"),
    ("destinations", "I"),
    ("spare", "I"),
)

# The option `wanted`: what a run over iter/tcp does with mini sockets and with all others, and
# whether a run over iter/task_file counts the holders of connections.
WRITE_MINI, COUNT_MINI, WRITE_FULL, COUNT_FULL, FOLD_CLIENTS, COUNT_HOLDERS = 1, 2, 4, 8, 16, 32
# The first columns of a SocketCount.
Key: TypeAlias = tuple[bytes, bytes, int, int, int, int, int, int, int, int, int]

# In `kind`: a socket with an fd, one without, a TIME_WAIT or the like, a request.
WITH_FD, WITHOUT_FD, MINI, HALF_OPEN = 0, 1, 2, 3

MOST_DESTINATIONS = 4096  # beyond that, clients are counted without their peer
CLOSE, LISTEN = 7, 10  # include/net/tcp_states.h
NO_CLOCK = -(1 << 31)  # in frees_in_jiffies: the kernel did not hand out the timer


def packed(table: tuple[tuple[str, str], ...]) -> struct.Struct:
    """How the columns of a table lie in memory: one behind the other, little-endian."""
    return struct.Struct("<" + "".join(code for _, code in table))


KEY_STRUCT = packed(_KEY)
ROW_STRUCT = packed(_ROW)
TALLY_STRUCT = packed(_TALLY)
HOLDER_KEY_STRUCT = packed(_HOLDER_KEY)
HOLDER_TALLY_STRUCT = packed(_HOLDER_TALLY)
OWN_PORT_STRUCT = packed(_OWN_PORT)
TASK_STRUCT = packed(_TASK)
OPTIONS_STRUCT = packed(_OPTIONS)


def columns(table: tuple[tuple[str, str], ...]) -> dict[str, Column]:
    """Offset and width of each name of a packed table."""
    placed: dict[str, Column] = {}
    offset = 0
    for name, code in table:
        size = struct.calcsize("<" + code)
        placed[name] = Column(offset, size)
        offset += size
    return placed


ROW_COLUMNS = columns(_ROW)
TALLY_COLUMNS = columns(_TALLY)
HOLDER_TALLY_COLUMNS = columns(_HOLDER_TALLY)
OWN_PORT_COLUMNS = columns(_OWN_PORT)
TASK_COLUMNS = columns(_TASK)
OPTION_COLUMNS = columns(_OPTIONS)


class SocketRow(NamedTuple):
    """One socket as an iterator saw it.

    `state` is the kernel's number; of a mini socket the one it stands for (6 or 5), of a half-open
    request 12, whose `flags` mean nothing. `peer` and `is_client` are set in spilled rows only,
    `uid` in those and by iter/task_file. `inode` is 0 where no fd is known. `pid`, `fd` and
    `netns_inode`, the number in /proc/PID/ns/net, are set by iter/task_file only. `cookie` is 0
    until sock_diag asks for it.
    `frees_in_jiffies` counts from the moment the row was written, for mini sockets only.
    """

    packed_address: bytes
    packed_peer: bytes
    device: int  # interface index, 0 = none
    uid: int
    port: int
    peer_port: int
    family: int  # 2 or 10
    flags: int
    state: int
    kind: int
    is_client: int
    is_spilled: int
    is_udp: int
    pid: int
    netns_inode: int
    fd: int
    cookie: int
    inode: int
    frees_in_jiffies: int

    @property
    def is_mini(self) -> bool:
        """Whether it is a TIME_WAIT, or a FIN_WAIT2 after close()."""
        return self.kind == MINI


class SocketCount(NamedTuple):
    """Sockets that are alike in all that the kernel's bind test compares, and were counted there.

    Of clients' sockets `port` is 0 and the peer is set, or zero for one of too many destinations.
    `state` is 6 (TIME_WAIT) or 5 (FIN_WAIT2 after close()) for a mini socket. The times count from
    the end of the run, in seconds, and are never below 0; None for other sockets, and if the kernel
    handed out no timer.
    """

    packed_address: bytes  # 16 bytes; an IPv4 address is the first 4
    packed_peer: bytes
    device: int
    uid: int
    port: int
    peer_port: int
    family: int
    flags: int
    state: int
    kind: int
    is_client: int
    sockets: int
    lowest_port: int
    highest_port: int
    first_frees_in_s: float | None
    last_frees_in_s: float | None

    @property
    def key(self) -> Key:
        """What they have in common."""
        return self[:11]


def differ_in_flags(counts: Iterable[SocketCount]) -> bool:
    """Whether mini sockets differ in their flags that are alike in all that sock_diag shows."""
    seen: dict[tuple[object, ...], int] = {}
    for count in counts:
        if count.kind == MINI:
            alike = (count.family, count.packed_address, count.device, count.state)
            if seen.setdefault(alike, count.flags) != count.flags:
                return True
    return False


class HolderCount(NamedTuple):
    """The fds that a process has for TCP connections that are alike; `fd` is one of them.

    `key` is that of their SocketCount, but with the peer of each client.
    """

    key: Key
    pid: int
    netns_inode: int
    fds: int
    fd: int


class Records(Sequence[SocketRow]):
    """The records of one run, each decoded when it is accessed.

    Raises struct.error if the data is not a whole number of records.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        if len(data) % ROW_STRUCT.size:
            raise struct.error("a record is cut short")
        self._data = memoryview(data)

    def __len__(self) -> int:
        return len(self._data) // ROW_STRUCT.size

    @overload
    def __getitem__(self, index: int) -> SocketRow: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> SocketRow | Records:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError("records come in a row")
            return Records(self._data[start * ROW_STRUCT.size : stop * ROW_STRUCT.size])
        offset = range(len(self))[index] * ROW_STRUCT.size
        return SocketRow._make(ROW_STRUCT.unpack_from(self._data, offset))

    def __iter__(self) -> Iterator[SocketRow]:
        return map(SocketRow._make, ROW_STRUCT.iter_unpack(self._data))

    def __eq__(self, other: object) -> bool:
        # As bytes: views are compared item by item.
        return isinstance(other, Records) and self._data.tobytes() == other._data.tobytes()

    __hash__ = None  # type: ignore[assignment] # a run is compared with the one before alone

    def flags_by_cookie(self) -> dict[int, int]:
        """The flags byte of each socket that has a cookie."""
        by_cookie = dict(zip(self._column("cookie"), self._column("flags"), strict=True))
        by_cookie.pop(0, None)
        return by_cookie

    def flags_by_inode(self) -> dict[int, int]:
        """The flags byte of each row, under 0 where the inode is not known."""
        return dict(zip(self._column("inode"), self._column("flags"), strict=True))

    def fds(self) -> Iterator[tuple[int, int, int]]:
        """(inode, pid, fd) of each row."""
        return zip(self._column("inode"), self._column("pid"), self._column("fd"), strict=True)

    def spilled(self) -> list[SocketRow]:
        """The rows of what the map of counts does not have."""
        if not any(self._column("spilled")):
            return []
        return [row for row in self if row.is_spilled]

    def own_ports(self) -> tuple[set[int], set[int]]:
        """The ports of TCP sockets that listen, and of those that are bound and do not."""
        wanted = self._column("udp"), self._column("state"), self._column("port")
        ports: dict[int, set[int]] = {LISTEN: set(), CLOSE: set()}
        for is_udp, state, port in zip(*wanted, strict=True):
            if not is_udp and port and state in ports:
                ports[state].add(port)
        return ports[LISTEN], ports[CLOSE]

    def bound(self) -> list[SocketRow]:
        """The rows of TCP sockets that are bound and do not listen."""
        wanted = self._column("udp"), self._column("state"), self._column("port")
        return [
            self[index]
            for index, (is_udp, state, port) in enumerate(zip(*wanted, strict=True))
            if not is_udp and state == CLOSE and port
        ]

    def inodes(self) -> frozenset[int]:
        """The numbers of the files."""
        return frozenset(self._column("inode"))

    def by_netns(self) -> dict[int, Records]:
        """The rows of each network namespace, by its number in /proc/PID/ns/net."""
        parts: dict[int, list[memoryview]] = {}
        start = 0
        for netns_inode, run in groupby(self._column("netns_inode")):
            end = start + ROW_STRUCT.size * sum(1 for _ in run)
            parts.setdefault(netns_inode, []).append(self._data[start:end])
            start = end
        return {netns_inode: Records(b"".join(rows)) for netns_inode, rows in parts.items()}

    def _column(self, name: str) -> list[int]:
        """All values of a column: no row is decoded for it."""
        if not self:
            return []
        offset, width = ROW_COLUMNS[name]
        data = self._data
        numbers = data.cast(
            "Q" if width == 8 else "I" if width == 4 else "H" if width == 2 else "B"
        )
        return list(numbers[offset // width :: ROW_STRUCT.size // width])
