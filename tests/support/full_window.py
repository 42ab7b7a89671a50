"""A connection whose far end takes no more."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from contextlib import suppress
from typing import Final

from tests.support.waiting import wait_until

UNACKNOWLEDGED: Final = termios.TIOCOUTQ  # SIOCOUTQ of tcp(7)
UNSENT: Final = 0x894B  # SIOCOUTQNSD of include/uapi/linux/sockios.h


def fill(sender: socket.socket) -> None:
    """Send until the far end's window is shut, so that a FIN has to wait behind the data.

    That send() would block is not enough: what is on the way may still be taken.
    """
    sender.setblocking(False)
    wait_until(lambda: _is_shut_out(sender))


def _is_shut_out(sender: socket.socket) -> bool:
    with suppress(BlockingIOError):
        while True:
            sender.send(bytes(1 << 16))
    return _bytes(sender, UNACKNOWLEDGED) == _bytes(sender, UNSENT) > 0


def _bytes(sock: socket.socket, request: int) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(sock, request, bytes(4)))
    return int(count)
