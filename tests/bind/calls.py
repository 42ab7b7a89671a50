"""Socket calls as the tests want them."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Callable

from sockwatch.bind import BindRequest


def set_flags(s: socket.socket, reuseaddr: bool, reuseport: bool) -> None:
    """Set or clear both reuse flags."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuseaddr)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuseport)


def new_socket(request: BindRequest) -> socket.socket:
    """The socket of a request, not yet bound."""
    family = socket.AF_INET if request.family == "ipv4" else socket.AF_INET6
    kind = socket.SOCK_STREAM if request.protocol == "tcp" else socket.SOCK_DGRAM
    s = socket.socket(family, kind)
    set_flags(s, request.reuseaddr, request.reuseport)
    if family == socket.AF_INET6 and request.v6only:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if request.device is not None:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, request.device.encode())
    return s


def attempt(call: Callable[[], object]) -> str:
    """ "ok", or the name of the errno."""
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok"


def abort(s: socket.socket) -> None:
    """Close it with a reset, so that no TIME_WAIT is left."""
    with contextlib.suppress(OSError):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
