"""One netlink request and its answer, on a socket that pyroute2 opens.

We send and receive ourselves: pyroute2's requests wait forever, and leak sockets, if recv(2)
fails or an answer is damaged.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Final

from sockwatch.model import KernelError

NETLINK_SOCK_DIAG: Final = 4  # include/uapi/linux/netlink.h
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST_DUMP: Final = 0x301
HEADER: Final = struct.Struct("<IH")  # nlmsghdr: length, type; flags, seq and pid are not needed
HEADER_SIZE: Final = 16

REQUEST_HEADER: Final = struct.Struct("<IHHII")  # length, type, flags, sequence number, port id
BUFFER_SIZE: Final = 1 << 16  # the kernel fills half of it at most
ANSWER_S: Final = 10.0  # it usually answers at once
KERNEL: Final = 0  # its port id, netlink(7)
SOL_NETLINK: Final = 270
NETLINK_ADD_MEMBERSHIP: Final = 1
NETLINK_LISTEN_ALL_NSID: Final = 8
SO_ATTACH_FILTER: Final = 26
MOST_MESSAGES: Final = 1000  # that are taken at once, so that a flood holds nobody up


def open_netlink(protocol: int, *, strict_check: bool = False) -> socket.socket:
    """A socket of this thread's network namespace. Raises OSError where netlink is refused.

    `strict_check` lets the kernel filter by what the request says (NETLINK_GET_STRICT_CHK).
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _open(protocol, strict_check)
    # pyroute2 runs an event loop of its own, which a thread that already runs one cannot have.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_open, protocol, strict_check).result()


def open_groups(
    protocol: int, groups: Iterable[int], *, everywhere: bool = False, accept: bytes = b""
) -> socket.socket:
    """A socket that does not block, and gets what the kernel sends to these multicast groups.

    That is of this thread's network namespace; with `everywhere` also of those that have an id in
    it, as the other end of a veth has, where CAP_NET_BROADCAST allows that. So it keeps no other
    namespace alive. `accept` is a filter of classic BPF for what is kept; empty keeps all. Raises
    OSError.
    """
    opened = open_netlink(protocol)
    try:
        opened.setblocking(False)
        if everywhere:
            with suppress(OSError):  # before 4.2
                opened.setsockopt(SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, 1)
        if accept:
            program = ctypes.create_string_buffer(accept, len(accept))
            head = struct.pack("@HP", len(accept) // 8, ctypes.addressof(program))
            opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, head)
        # One that joins before it has a port id gets nothing, and no error either.
        opened.bind((0, 0))
        for group in groups:
            opened.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    except OSError:
        opened.close()
        raise
    return opened


def waiting_messages(sock: socket.socket) -> tuple[list[bytes], bool]:
    """What the kernel has sent to a socket of open_groups(), and whether some of it was lost."""
    messages, lost = [], False
    for _ in range(MOST_MESSAGES):
        try:
            data, (port_id, _) = sock.recvfrom(BUFFER_SIZE)
        except BlockingIOError:
            break
        except OSError:  # ENOBUFS: the buffer was full
            lost = True
            continue
        if port_id == KERNEL:
            messages.append(data)
    return messages, lost


def _open(protocol: int, strict_check: bool) -> socket.socket:
    _import_by_parts("pyroute2")
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415 - takes 0.1 s
    from pyroute2.netlink.nlsocket import NetlinkSocket  # noqa: PLC0415

    try:
        with NetlinkSocket(family=protocol, strict_check=strict_check) as opened:
            return socket.socket(fileno=os.dup(opened.fileno()))
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error


def _import_by_parts(name: str) -> None:
    """Run the package's own code when one of its names is used, not when a part is imported.

    By itself pyroute2 imports all of its parts, in half the time that a command takes.
    """
    spec = None if name in sys.modules else find_spec(name)
    if spec is None or spec.loader is None:
        return
    package, loader = module_from_spec(spec), spec.loader

    def part_or_run(attribute: str) -> object:
        if find_spec(f"{name}.{attribute}") is not None:
            return import_module(f"{name}.{attribute}")
        del package.__dict__["__getattr__"]
        loader.exec_module(package)
        return getattr(package, attribute)

    package.__dict__["__getattr__"] = part_or_run  # PEP 562
    sys.modules[name] = package


def exchange(sock: socket.socket, kind: int, flags: int, body: bytes) -> Iterator[bytes]:
    """The buffers of the answer; the caller stops at its last message.

    Raises KernelError if the answer stops before, OSError if sending or receiving fails.
    """
    sock.send(REQUEST_HEADER.pack(HEADER_SIZE + len(body), kind, flags, 1, 0) + body)
    while data := receive(sock):
        yield data
    raise KernelError("netlink stopped in the middle of an answer", 0)


def receive(sock: socket.socket) -> bytes:
    """The kernel's next datagram, empty if none comes; those of other senders are dropped.

    In a network namespace of their own, users may send forged answers to our port id.
    """
    until = time.monotonic() + ANSWER_S
    readable = select.poll()  # select(2) takes no fd above 1,023
    readable.register(sock, select.POLLIN)
    while (left_s := until - time.monotonic()) > 0 and readable.poll(left_s * 1000):
        data, (port_id, _) = sock.recvfrom(BUFFER_SIZE)
        if port_id == KERNEL:
            return data
    return b""


def dump(sock: socket.socket, kind: int, body: bytes, size: int) -> Iterator[bytes]:
    """What follows the header of each message of a dump, at least `size` bytes of it.

    Raises KernelError if the answer is damaged or incomplete, OSError if receiving fails.
    """
    for data in exchange(sock, kind, NLM_F_REQUEST_DUMP, body):
        start = 0
        while start + HEADER_SIZE <= len(data):
            length, message_type = HEADER.unpack_from(data, start)
            if message_type in (NLMSG_DONE, NLMSG_ERROR):
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
