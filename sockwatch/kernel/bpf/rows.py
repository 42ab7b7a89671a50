"""What the programs write and what the rest of sockwatch gets: the records and their meaning.

The columns below are the one definition of both: programs store by these names, user space
unpacks by the same table.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

from sockwatch.kernel.bpf.assembler import Column

# Every column is aligned to its width: the verifier insists. An IPv4 address is the first 4 bytes
# of its 16, the rest is zero.
_KEY = (
    ("address", "16s"),
    ("device", "I"),
    ("port", "H"),
    ("family", "H"),
    ("flags", "B"),
    ("state", "B"),
    ("mini", "H"),
)
_ROW = (
    *_KEY,
    ("netns_inode", "I"),
    ("pid", "i"),
    ("fd", "i"),
    ("cookie", "Q"),
    ("inode", "Q"),
    ("frees_in_jiffies", "q"),
)
_TALLY = (("sockets", "Q"), ("first_expiry", "q"), ("last_expiry", "q"))
_OPTIONS = (("netns_inode", "I"), ("port", "H"), ("wanted", "H"))

# The option `wanted`: what a run over iter/tcp does with mini sockets and with all others.
WRITE_MINI, COUNT_MINI, WRITE_FULL = 1, 2, 4
# In `mini`: a mini socket; the same, but left out of the map of counts.
MINI, SPILLED = 1, 2

NO_CLOCK = -(1 << 31)  # in frees_in_jiffies: the kernel did not hand out the timer

KEY_STRUCT = struct.Struct("<" + "".join(code for _, code in _KEY))
ROW_STRUCT = struct.Struct("<" + "".join(code for _, code in _ROW))
TALLY_STRUCT = struct.Struct("<" + "".join(code for _, code in _TALLY))
OPTIONS_STRUCT = struct.Struct("<" + "".join(code for _, code in _OPTIONS))


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
OPTION_COLUMNS = columns(_OPTIONS)


class SocketRow(NamedTuple):
    """One socket as an iterator saw it.

    `state` is the kernel's number; of a mini socket the one it stands for (6 or 5), of a half-open
    request 12, whose `flags` mean nothing. `inode` is 0 where no fd is known. `netns_inode` is the
    number in /proc/PID/ns/net. `pid` and `fd` are set by task_files() only. `cookie` is 0 until
    sock_diag has asked for it. `frees_in_jiffies` counts from the moment the row was written, for
    mini sockets only.
    """

    packed_address: bytes
    device: int  # interface index, 0 = none
    port: int
    family: int  # 2 or 10
    flags: int
    state: int
    is_mini: int
    netns_inode: int
    pid: int
    fd: int
    cookie: int
    inode: int
    frees_in_jiffies: int


class TimeWaitGroup(NamedTuple):
    """Mini sockets that are alike in all that the kernel's bind test compares.

    `state` is 6 (TIME_WAIT) or 5 (FIN_WAIT2 after close()). The times count from the end of the
    run, in seconds, and are never below 0; None if the kernel handed out no timer.
    """

    family: int
    state: int
    packed_address: bytes  # 16 bytes; an IPv4 address is the first 4
    port: int
    device: int
    flags: int
    sockets: int
    first_frees_in_s: float | None
    last_frees_in_s: float | None


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

    def flags_by_cookie(self) -> dict[int, int]:
        """The flags byte of each socket that has a cookie, read by columns."""
        if not self:
            return {}
        cookies = self._data.cast("Q")[ROW_COLUMNS["cookie"].offset // 8 :: ROW_STRUCT.size // 8]
        flags = self._data[ROW_COLUMNS["flags"].offset :: ROW_STRUCT.size]
        by_cookie = dict(zip(cookies.tolist(), flags.tolist(), strict=True))
        by_cookie.pop(0, None)
        return by_cookie

    def spilled(self) -> list[SocketRow]:
        """The mini sockets that the map of counts does not have."""
        if SPILLED not in self._data[ROW_COLUMNS["mini"].offset :: ROW_STRUCT.size].tobytes():
            return []
        return [row for row in self if row.is_mini == SPILLED]
