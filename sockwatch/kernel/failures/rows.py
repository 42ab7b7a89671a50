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
# In `capable_here`: the effective capabilities count; all do, as it made the user namespace there.
CAPABLE, CAPABLE_OF_ALL = 1, 2
# In `seen`: what could be read.
SEEN_TASK, SEEN_SOCKET, SEEN_ADDRESS, SEEN_COMMAND, SEEN_DIRECTORIES = 1, 2, 4, 8, 16

SOCKADDR_BYTES = 112  # sockaddr_un has 110
COMMAND_BYTES = 176  # the row and the scratch of the reads fill the stack

# What makes two failures alike: the process, and what it asked for. The kernel counts by these.
_ALIKE = (
    ("host_pid", "I"),
    ("errno", "H"),
    ("call", "B"),
    ("flags", "B"),
    ("family", "H"),
    ("type", "H"),
    ("protocol", "H"),
    ("port", "H"),
    ("address", "16s"),
    ("sockaddr", f"{SOCKADDR_BYTES}s"),
)
# Every column is aligned to its width: the verifier insists.
_FAILURE = (
    ("time_ns", "Q"),
    ("cgroup_id", "Q"),
    ("inode", "Q"),
    ("started_ns", "Q"),
    ("capabilities", "Q"),
    ("repeats", "Q"),
    ("root_inode", "Q"),
    ("cwd_inode", "Q"),
    ("root_mount", "I"),
    ("cwd_mount", "I"),
    ("host_tid", "I"),
    ("pid", "I"),
    ("parent_pid", "I"),
    ("uid", "I"),
    ("gid", "I"),
    ("length", "I"),
    ("port_range", "I"),
    ("socket_uid", "I"),
    ("netns_inode", "I"),
    ("fd", "i"),
    ("device", "I"),
    ("sockaddr_bytes", "I"),
    *_ALIKE,
    ("seen", "B"),
    ("own_group", "B"),
    ("capable_here", "B"),
    ("cut", "B"),
    ("has_name", "B"),
    ("seccomp", "B"),
    ("unused", "2s"),
    ("comm", "16s"),
    ("command_bytes", "Q"),
    ("command", f"{COMMAND_BYTES}s"),
)
FAILURE_STRUCT = struct.Struct("<" + "".join(code for _, code in _FAILURE))
FAILURE_COLUMNS = columns(_FAILURE)
ALIKE_AT = FAILURE_COLUMNS[_ALIKE[0][0]].offset
ALIKE_BYTES = struct.calcsize("<" + "".join(code for _, code in _ALIKE))

# Of failures that are alike, the kernel writes the first so many of a second, and counts the rest.
WRITTEN_A_SECOND = 10
_BURST = (("began_ns", "Q"), ("written", "Q"), ("repeats", "Q"))
BURST_STRUCT = struct.Struct("<" + "".join(code for _, code in _BURST))
BURST_COLUMNS = columns(_BURST)


class RecordError(SockwatchError):
    """The kernel handed out a record that our program cannot have written."""


class FailureRow(NamedTuple):
    """One failed call as the kernel saw it; zero where it could not be read (see `seen`).

    `time_ns` is on CLOCK_MONOTONIC, `started_ns` counts from boot. `host_pid` and `host_tid`
    are numbers of the initial pid namespace, `pid` and `parent_pid` those of ours.
    `netns_inode` is the socket's namespace, or the thread's where the socket could not be read.
    `address`, `port` and `device` are what the socket is bound to, `sockaddr` what bind() was
    asked for. `capabilities` is the thread's effective set; `capable_here` says what counts for
    the socket's network namespace. `repeats` counts the failures like this one that were not
    written, since the first of them. `root_mount` and `cwd_mount` are the ids of the mounts
    that the thread's root and working directory are on; two mount namespaces have none in
    common. `own_group`: the socket has a SO_REUSEPORT group of its own, by
    SO_ATTACH_REUSEPORT_CBPF. `length` is what bind() was told of the address's length,
    `port_range` what IP_LOCAL_PORT_RANGE is set to, 0 for nothing: the first port in the low
    half. `has_name`: a unix socket is bound. `seccomp` is the thread's mode of seccomp(2), 0
    for none.
    """

    time_ns: int
    cgroup_id: int
    inode: int
    started_ns: int
    capabilities: int
    repeats: int
    root_inode: int
    cwd_inode: int
    root_mount: int
    cwd_mount: int
    host_tid: int
    pid: int
    parent_pid: int
    uid: int
    gid: int
    length: int
    port_range: int
    socket_uid: int
    netns_inode: int
    fd: int
    device: int
    sockaddr_bytes: int
    host_pid: int
    errno: int
    call: int
    flags: int
    family: int
    type: int
    protocol: int
    port: int
    packed_address: bytes
    sockaddr: bytes
    seen: int
    own_group: int
    capable_here: int
    cut: int
    has_name: int
    seccomp: int
    unused: bytes
    comm: bytes
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
