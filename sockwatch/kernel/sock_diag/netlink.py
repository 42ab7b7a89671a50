"""One netlink request and its answer.

We send and receive on the socket ourselves: pyroute2's requests wait for ever, and leave sockets
open, where recv(2) fails or an answer comes damaged.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from sockwatch.model import KernelError

if TYPE_CHECKING:
    from pyroute2.netlink.nlsocket import NetlinkSocket

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST_DUMP: Final = 0x301
HEADER: Final = struct.Struct("<IH")  # nlmsghdr: length, type; flags, seq and pid are not needed
HEADER_SIZE: Final = 16

REQUEST_HEADER: Final = struct.Struct("<IHHII")  # length, type, flags, sequence number, port id
BUFFER_SIZE: Final = 1 << 16  # the kernel fills half of it at most
ANSWER_S: Final = 10.0  # it answers at once


def exchange(
    sock: NetlinkSocket | socket.socket, kind: int, flags: int, body: bytes
) -> Iterator[bytes]:
    """The buffers of the answer; the caller stops where the answer ends.

    Raises KernelError where it breaks off before, OSError where it fails.
    """
    sock.send(REQUEST_HEADER.pack(HEADER_SIZE + len(body), kind, flags, 1, 0) + body)
    fd = sock.fileno()
    while select.select([fd], [], [], ANSWER_S)[0] and (data := sock.recv(BUFFER_SIZE)):
        yield data
    raise KernelError("netlink broke off in the middle of an answer", 0)


def dump(sock: NetlinkSocket | socket.socket, kind: int, body: bytes, size: int) -> Iterator[bytes]:
    """What follows the header of each message of a dump, at least `size` bytes of it.

    Raises KernelError where the answer is damaged or breaks off, OSError where it fails.
    """
    for data in exchange(sock, kind, NLM_F_REQUEST_DUMP, body):
        start = 0
        while start + HEADER_SIZE <= len(data):
            length, answer = HEADER.unpack_from(data, start)
            if answer in (NLMSG_DONE, NLMSG_ERROR):
                if number := ending(data, start):
                    raise OSError(number, os.strerror(number))
                return
            if length < HEADER_SIZE + size or start + length > len(data):
                break
            yield data[start + HEADER_SIZE : start + length]
            start += (length + 3) & ~3
        if start < len(data):
            raise KernelError("netlink sent a message that is cut short", 0)


def ending(data: bytes, start: int) -> int:
    """The errno that the NLMSG_DONE or NLMSG_ERROR at `start` carries; 0 for none.

    Raises KernelError where it is cut short.
    """
    number = data[start + HEADER_SIZE : start + HEADER_SIZE + 4]
    if len(number) < 4:
        raise KernelError("netlink sent a message that is cut short", 0)
    return -int.from_bytes(number, "little", signed=True)
