"""What the program at the end of every system call writes for a bind() or listen() that failed.

The columns below are the one definition: the program stores by these names, user space unpacks by
the same table.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from sockwatch.kernel.bpf.rows import columns
from sockwatch.model import SockwatchError

BIND, LISTEN = 1, 2  # in `call`
# In `seen`: what could be read.
SEEN_TASK, SEEN_SOCKET, SEEN_ADDRESS, SEEN_COMMAND = 1, 2, 4, 8

SOCKADDR_BYTES = 112  # sockaddr_un has 110
COMMAND_BYTES = 232

# Every column is aligned to its width: the verifier insists.
_FAILURE = (
    ("time_ns", "Q"),
    ("cgroup_id", "Q"),
    ("inode", "Q"),
    ("started_ns", "Q"),
    ("capabilities", "Q"),
    ("host_pid", "I"),
    ("host_tid", "I"),
    ("pid", "I"),
    ("parent_pid", "I"),
    ("uid", "I"),
    ("socket_uid", "I"),
    ("netns_inode", "I"),
    ("fd", "i"),
    ("device", "I"),
    ("sockaddr_bytes", "I"),
    ("errno", "H"),
    ("call", "B"),
    ("seen", "B"),
    ("family", "H"),
    ("type", "H"),
    ("protocol", "H"),
    ("port", "H"),
    ("flags", "B"),
    ("own_group", "B"),
    ("capable_here", "B"),
    ("cut", "B"),
    ("address", "16s"),
    ("comm", "16s"),
    ("sockaddr", f"{SOCKADDR_BYTES}s"),
    ("command_bytes", "Q"),
    ("command", f"{COMMAND_BYTES}s"),
)
FAILURE_STRUCT = struct.Struct("<" + "".join(code for _, code in _FAILURE))
FAILURE_COLUMNS = columns(_FAILURE)


class RecordError(SockwatchError):
    """The kernel handed out a record that our program cannot have written."""


class FailureRow(NamedTuple):
    """One failed call as the kernel saw it; zero where it could not be read (see `seen`).

    `time_ns` is on CLOCK_MONOTONIC, `started_ns` counts from boot. `host_pid` and `host_tid` are
    numbers of the initial pid namespace, `pid` and `parent_pid` those of ours. `netns_inode` is the
    socket's namespace, or the thread's where the socket could not be read. `address`, `port` and
    `device` are what the socket is bound to, `sockaddr` what bind() was asked for. `capabilities`
    is the thread's effective set, and counts for the socket's network namespace if `capable_here`.
    `own_group`: the socket has a SO_REUSEPORT group of its own, by SO_ATTACH_REUSEPORT_CBPF.
    """

    time_ns: int
    cgroup_id: int
    inode: int
    started_ns: int
    capabilities: int
    host_pid: int
    host_tid: int
    pid: int
    parent_pid: int
    uid: int
    socket_uid: int
    netns_inode: int
    fd: int
    device: int
    sockaddr_bytes: int
    errno: int
    call: int
    seen: int
    family: int
    type: int
    protocol: int
    port: int
    flags: int
    own_group: int
    capable_here: int
    cut: int
    packed_address: bytes
    comm: bytes
    sockaddr: bytes
    command_bytes: int
    command: bytes


def decode(record: bytes) -> FailureRow:
    """Raises RecordError."""
    try:
        row = FailureRow._make(FAILURE_STRUCT.unpack(record))
    except struct.error as error:
        raise RecordError(f"a record of {len(record)} bytes is not a failure: {error}") from error
    if row.call not in (BIND, LISTEN) or not row.errno:
        raise RecordError(f"call {row.call} with errno {row.errno} is not a failure we watch")
    if row.sockaddr_bytes > SOCKADDR_BYTES or row.command_bytes > COMMAND_BYTES:
        raise RecordError("a record claims more bytes than it holds")
    return row
