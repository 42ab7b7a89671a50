"""Rows of the kernel's tables, decoded as they arrive."""

from __future__ import annotations

import socket
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sockwatch.kernel.sock_diag import inet_diag
from sockwatch.kernel.sock_diag.inet_diag import (
    ATTR_SHUTDOWN,
    ATTR_SKV6ONLY,
    ROW,
    ROW_SIZE,
    TIMER_MINI_SOCKET,
)
from sockwatch.kernel.sock_diag.netlink import HEADER, HEADER_SIZE, NLMSG_DONE, NLMSG_ERROR, ending
from sockwatch.kernel.sock_diag.packed_sockets import PackedSockets
from sockwatch.kernel.sock_diag.time_waits import MiniSocketTally
from sockwatch.model import (
    TCP_STATES,
    UDP_STATES,
    KernelError,
    Protocol,
    Socket,
    SocketOptions,
)

DeviceName = Callable[[int], str | None]


class GroupKey(NamedTuple):
    """What the connections of one group have in common, as encoded in the row."""

    port: int
    family: int
    state: int
    address: bytes
    device: int
    uid: int


class Member(NamedTuple):
    """What is kept of each connection."""

    cookie: int
    inode: int


class RowDecoder:
    """Feeds on the buffers of one or more dumps of one protocol.

    Rows are identified by cookie: a dump that resumes can show a socket twice. `known` are options
    by cookie, for the TIME_WAITs. Without `count_minis` mini sockets are not counted.
    """

    def __init__(
        self,
        protocol: Protocol,
        device_name: DeviceName,
        *,
        keep_rows: bool = False,
        count_minis: bool = True,
        known: Mapping[int, SocketOptions] | None = None,
    ) -> None:
        self.protocol = protocol
        self.device_name = device_name
        self.sockets: list[Socket] = []
        self.members: dict[GroupKey, list[Member]] = defaultdict(list)
        self.minis = MiniSocketTally(known or {})
        self.half_open: Counter[int] = Counter()
        self.rows = PackedSockets(self.decode) if keep_rows else None
        self.has_minis = False
        self._count_minis = count_minis
        self._states = TCP_STATES if protocol == "tcp" else UDP_STATES
        self._seen: set[int] = set()

    def state_name(self, state: int) -> str:
        """The name of a state in the model; STATE_n for one that is not known."""
        return self._states.get(state, f"STATE_{state}")

    def feed(self, data: bytes) -> int | None:
        """Take in one received buffer.

        Returns None if more is to come, else the errno of the dump (0: complete).
        Raises KernelError for bytes that are not a sock_diag answer.
        """
        view = memoryview(data)
        if self.rows is not None:
            self.rows.add_buffer(data)
        start, end, runs = 0, len(data), True
        while start + HEADER_SIZE <= end:
            length, kind = HEADER.unpack_from(data, start)
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                return ending(data, start)
            if length < ROW_SIZE or start + length > end:
                break
            if data[start + inet_diag.AT_TIMER] == TIMER_MINI_SOCKET:
                self.has_minis = True
                # A run is worth a try once a buffer: where sockets are mixed, most runs are short.
                count = (end - start) // length if runs and self._count_minis else 1
                runs = count > 1 and self.minis.add_run(
                    view[start : start + count * length], length
                )
                if not runs:
                    count = 1
                    if self._count_minis:
                        self.minis.add_row(view, start)
                if self.rows is not None:
                    state = data[start + inet_diag.AT_STATE]
                    self.rows.add(state, range(start, start + count * length, length))
                start += count * length
                continue
            self._add_full(data, start, length)
            start += (length + 3) & ~3
        if start < end:
            raise KernelError("sock_diag sent a message that is cut short", 0)
        return None

    def cookies(self) -> set[int]:
        """Those of all sockets but mini sockets and half-open requests."""
        members = (member for group in self.members.values() for member in group)
        return {sock.cookie for sock in self.sockets} | {member.cookie for member in members}

    def take_over(self, other: RowDecoder) -> None:
        """Add the listening, bound and UDP sockets of another part of the same table."""
        self.sockets += [sock for sock in other.sockets if sock.cookie not in self._seen]
        self._seen |= other._seen

    def decode(self, data: bytes, start: int) -> Socket:
        """The socket of the message that begins at `start`."""
        (
            family, state, timer, _, sport, dport, source, destination,
            device, cookie, expires, queue, backlog, uid, inode,
        ) = ROW.unpack_from(data, start + HEADER_SIZE)  # fmt: skip
        mini = timer == TIMER_MINI_SOCKET
        address = inet_diag.address_text(family, source)
        connected = dport != 0
        length = HEADER.unpack_from(data, start)[0]
        return Socket(
            protocol=self.protocol,
            family="ipv4" if family == socket.AF_INET else "ipv6",
            state=self.state_name(state),
            address=address,
            port=socket.ntohs(sport),
            peer_address=inet_diag.address_text(family, destination) if connected else None,
            peer_port=socket.ntohs(dport) if connected else None,
            device=self.device_name(device),
            v6only=self._v6only(data, start, length, family, address),
            uid=None if mini else uid,
            inode=inode,
            cookie=cookie,
            mini=mini,
            queue=queue,
            backlog=backlog,
            frees_in_s=expires / 1000 if mini else None,
        )

    def _add_full(self, data: bytes, start: int, length: int) -> None:
        (
            family, state, _, _, sport, _, source, _,
            device, cookie, _, _, _, uid, inode,
        ) = ROW.unpack_from(data, start + HEADER_SIZE)  # fmt: skip
        if family not in (socket.AF_INET, socket.AF_INET6) or sport == 0:
            return
        if cookie in self._seen:
            return
        self._seen.add(cookie)
        if state == inet_diag.STATE_SYN_RECV and not has_attribute(
            data, start, length, ATTR_SHUTDOWN
        ):
            self.half_open[socket.ntohs(sport)] += 1
            return
        if state in (inet_diag.STATE_LISTEN, inet_diag.STATE_CLOSE):
            self.sockets.append(self.decode(data, start))
            return
        if self.rows is not None:
            self.rows.add(state, range(start, start + 1))
        key = GroupKey(socket.ntohs(sport), family, state, source, device, uid)
        self.members[key].append(Member(cookie, inode))

    @staticmethod
    def _v6only(data: bytes, start: int, length: int, family: int, address: str) -> bool | None:
        if family == socket.AF_INET6:
            for kind, at, end in inet_diag.attributes(data, start + ROW_SIZE, start + length):
                if kind == ATTR_SKV6ONLY and at < end:
                    return data[at] != 0
        return connection_v6only(family, address)


def connection_v6only(family: int, address: str) -> bool | None:
    """v6only where sock_diag does not say: only a native IPv6 socket can have either value."""
    if family == socket.AF_INET or address.startswith("::ffff:"):
        return False
    return None


def has_attribute(data: bytes, start: int, length: int, wanted: int) -> bool:
    """Whether the row that begins at `start` carries the attribute."""
    rows = inet_diag.attributes(data, start + ROW_SIZE, start + length)
    return any(kind == wanted for kind, _, _ in rows)
