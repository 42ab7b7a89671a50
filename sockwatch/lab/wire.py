"""Messages between sockwatch and the processes in the sandbox: one JSON object a packet."""

from __future__ import annotations

import array
import errno
import json
import os
import socket
import struct
from typing import Any, Final

LARGEST: Final = 65536
MOST_FDS: Final = 4
CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid


def channel() -> tuple[socket.socket, socket.socket]:
    """Our end, which receives the pid of each sender, and theirs."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def send(sock: socket.socket, content: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
    """Send a message. Raises OSError if the other end is closed."""
    data = json.dumps(content).encode()
    if fds:
        socket.send_fds(sock, [data], list(fds))
    else:
        sock.send(data)


def receive(sock: socket.socket) -> tuple[dict[str, Any] | None, int, list[int]]:
    """The content, or None at the end; the pid of the sender in our pid namespace, or 0; the fds.

    Raises TimeoutError, and OSError if the message is damaged or fds were lost on the way: the
    kernel drops them if there is no room for them, or if a security module forbids them.
    """
    room = socket.CMSG_SPACE(CREDENTIALS.size) + socket.CMSG_SPACE(MOST_FDS * 4)
    data, extra, flags, _ = sock.recvmsg(LARGEST, room, socket.MSG_CMSG_CLOEXEC)
    pid, fds = 0, array.array("i")
    for level, kind, payload in extra:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid = CREDENTIALS.unpack(payload)[0]
        elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    is_truncated = flags & socket.MSG_CTRUNC
    content = None if is_truncated else _content(data)
    if content is None:
        for fd in fds:
            os.close(fd)
    if is_truncated:
        raise OSError(errno.EMFILE, "file descriptors that were sent did not arrive")
    if not data:
        return None, pid, []
    if content is None:
        raise OSError(errno.EBADMSG, "a message that is no JSON object")
    return content, pid, list(fds)


def _content(data: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
