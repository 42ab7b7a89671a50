"""A call that failed, as the record that the BPF program would have written of it."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from errno import EACCES
from typing import Final

from sockwatch.kernel.failures import rows
from sockwatch.kernel.proc.proc_file import read_proc_file
from sockwatch.kernel.seccomp.calls import Call

_SO_BINDTOIFINDEX: Final = 62
_SO_NETNS_COOKIE: Final = 71  # since Linux 5.14
_IP_LOCAL_PORT_RANGE: Final = 51  # since Linux 6.3
_OPTIONS: Final = (  # in the order of the bits of `flags`: see kernel.bpf.flags
    (0, socket.SOL_SOCKET, socket.SO_REUSEADDR),
    (4, socket.SOL_SOCKET, socket.SO_REUSEPORT),
    (5, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
)


def failed_row(call: Call, errno: int) -> bytes:
    """The record of `call`, which has just failed with `errno`; its thread still waits."""
    task, sock = call.task, call.sock
    values: dict[str, int | bytes] = dict.fromkeys(rows.FailureRow._fields, 0)
    values |= dict.fromkeys(("packed_address", "sockaddr", "unused", "comm", "command"), b"")
    values |= {
        "time_ns": time.monotonic_ns(),
        "inode": call.inode,
        "capabilities": task.capabilities,
        "host_tid": task.tid,
        "host_pid": task.pid,
        "pid": task.pid,
        "parent_pid": task.parent_pid,
        "uid": task.uid,
        "gid": task.gid,
        "length": len(call.address),
        "port_range": _option(sock, socket.IPPROTO_IP, _IP_LOCAL_PORT_RANGE) & 0xFFFFFFFF,
        "socket_uid": os.fstat(sock.fileno()).st_uid,
        "netns_inode": _netns_inode(call),
        "fd": call.fd,
        "device": _option(sock, socket.SOL_SOCKET, _SO_BINDTOIFINDEX),
        "errno": errno,
        "call": rows.BIND if call.name == "bind" else rows.LISTEN,
        "flags": sum(bool(_option(sock, *option)) << bit for bit, *option in _OPTIONS),
        "family": sock.family,
        "type": sock.type,
        "protocol": sock.proto,
        "seen": rows.SEEN_TASK | rows.SEEN_SOCKET,
        # They have not counted where the kernel has refused a low port.
        "capable_here": 0 if errno == EACCES else rows.CAPABLE,
        "comm": read_proc_file(f"/proc/{task.tid}/comm", 16).rstrip(b"\n"),
    }
    with suppress(OSError):
        host, values["port"], *_ = sock.getsockname()
        values["packed_address"] = socket.inet_pton(sock.family, host.partition("%")[0])
    if call.name == "bind":
        address = call.address[: rows.SOCKADDR_BYTES]
        values["sockaddr"], values["sockaddr_bytes"] = address, len(address)
        values["seen"] = rows.SEEN_TASK | rows.SEEN_SOCKET | rows.SEEN_ADDRESS
    return rows.FAILURE_STRUCT.pack(*values.values())


def _option(sock: socket.socket, level: int, option: int) -> int:
    """Its value; 0 where the kernel or the family does not have it."""
    try:
        return sock.getsockopt(level, option)
    except OSError:
        return 0


def _netns_inode(call: Call) -> int:
    """Of the socket; 0 if it may be another one than its thread's."""
    try:
        theirs = os.stat(f"/proc/{call.task.tid}/ns/net").st_ino
        if theirs != os.stat("/proc/self/ns/net").st_ino:
            return theirs
        with socket.socket(call.sock.family, socket.SOCK_DGRAM) as ours:
            cookies = {_cookie(sock) for sock in (ours, call.sock)}
    except OSError:
        return 0
    return theirs if len(cookies) == 1 else 0


def _cookie(sock: socket.socket) -> bytes:
    try:
        return sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    except OSError:
        return b""
