"""Rows of the kernel's tables, decoded as they arrive."""

from __future__ import annotations

import socket
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from sockwatch.kernel.sock_diag import inet_diag
from sockwatch.kernel.sock_diag.client_ports import ClientPorts
from sockwatch.kernel.sock_diag.connections import ConnectionTally
from sockwatch.kernel.sock_diag.inet_diag import (
    DEVICE,
    ROW,
    ROW_SIZE,
    TIMER_MINI_SOCKET,
)
from sockwatch.kernel.sock_diag.kept_rows import DeviceName, KeptRows
from sockwatch.kernel.sock_diag.netlink import HEADER, HEADER_SIZE, NLMSG_DONE, NLMSG_ERROR, ending
from sockwatch.kernel.sock_diag.packed_sockets import PackedSockets
from sockwatch.kernel.sock_diag.socket_row import decode_row, is_half_open
from sockwatch.kernel.sock_diag.time_waits import MiniSocketTally, are_minis
from sockwatch.model import (
    KernelError,
    Protocol,
    Socket,
    SocketOptions,
)


class GroupKey(NamedTuple):
    """What the connections of one group have in common, as encoded in the row."""

    port: int
    family: int
    state: int
    address: bytes
    device: int
    uid: int
    peer: bytes = b""  # where connections of client ports lead; `port` is 0 then
    peer_port: int = 0  # in network order


class Member(NamedTuple):
    """What is kept of each connection."""

    cookie: int
    inode: int
    unread: bool
    unacknowledged: bool


class RowDecoder:
    """Feeds on the buffers of one or more dumps of one protocol.

    Rows are identified by cookie: a dump that resumes can show a socket twice. `known` are options
    by cookie, for the TIME_WAITs. Without `count_minis` mini sockets are not counted. With
    `clients`, sockets of client ports are counted by destination; with `tally`, connections are
    counted there and are not among the members. `kept` has the servers of an earlier dump; with
    `only_servers` it has whole buffers of them, which come in a dump of no other states.
    `automatic` says by cookie whether the kernel chose the port, as far as that was asked.
    """

    def __init__(
        self,
        protocol: Protocol,
        device_name: DeviceName,
        *,
        keep_rows: bool = False,
        count_minis: bool = True,
        known: Mapping[int, SocketOptions] | None = None,
        clients: ClientPorts | None = None,
        tally: ConnectionTally | None = None,
        kept: KeptRows | None = None,
        only_servers: bool = False,
    ) -> None:
        self.protocol = protocol
        self.device_name = device_name
        self.sockets: list[Socket] = []
        self.members: dict[GroupKey, list[Member]] = defaultdict(list)
        self.minis = MiniSocketTally(known or {}, clients)
        self.clients = clients
        self.tally = tally
        self.client_spans: dict[GroupKey, tuple[int, int]] = {}  # lowest and highest port
        self.half_open: Counter[int] = Counter()
        self.has_minis = False
        self.automatic: dict[int, bool] = {}
        # Not by a method of ours: a cycle would keep 100,000 rows until it is collected.
        decode = partial(_decode, protocol, device_name, self.automatic)
        self.rows = PackedSockets(decode) if keep_rows else None
        self._count_minis = count_minis
        self._kept = KeptRows() if kept is None else kept
        self._only_servers = only_servers and not keep_rows and clients is None
        self._seen: set[int] = set()

    def feed(self, data: bytes) -> int | None:
        """Take in one received buffer.

        Returns None if more is to come, else the errno of the dump (0: complete).
        Raises KernelError for bytes that are not a sock_diag answer.
        """
        if self._only_servers:
            servers = self._kept.servers(self.protocol, data)
            if servers is not None and self._seen.isdisjoint(servers.cookies):
                self._seen |= servers.cookies
                self.sockets += servers.sockets
                return servers.ending
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
                count = (end - start) // length if runs else 1
                add_run = self.minis.add_run if self._count_minis else are_minis
                runs = count > 1 and add_run(view[start : start + count * length], length)
                if not runs:
                    count = 1
                    if self._count_minis:
                        self.minis.add_row(view, start)
                if self.rows is not None:
                    state = data[start + inet_diag.AT_STATE]
                    self.rows.add(state, range(start, start + count * length, length))
                start += count * length
                continue
            if self.tally is not None:
                count = (end - start) // length if runs else 1
                runs = count > 1 and self.tally.add_run(
                    view[start : start + count * length], length
                )
                if runs or self.tally.add_run(view[start : start + length], length):
                    start += (count if runs else 1) * length
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
        self.automatic |= other.automatic

    def _add_full(self, data: bytes, start: int, length: int) -> None:
        (
            family, state, _, _, sport, dport, source, destination,
            device, cookie, _, queue, backlog, uid, inode,
        ) = ROW.unpack_from(data, start + HEADER_SIZE)  # fmt: skip
        if family not in (socket.AF_INET, socket.AF_INET6) or sport == 0:
            return
        if cookie in self._seen:
            return
        self._seen.add(cookie)
        row = _row(data, start, length)
        if state == inet_diag.STATE_SYN_RECV and is_half_open(row):
            self.half_open[socket.ntohs(sport)] += 1
            return
        if state in (inet_diag.STATE_LISTEN, inet_diag.STATE_CLOSE):
            device_name = self.device_name(device)
            self.sockets.append(self._kept.server(cookie, self.protocol, row, device_name))
            if self.clients is not None:
                self.clients.add_listener(sport)
            return
        if self.rows is not None:
            self.rows.add(state, range(start, start + 1))
        port = socket.ntohs(sport)
        key = GroupKey(port, family, state, source, device, uid)
        if self.clients is not None and self.clients.is_client(sport, dport):
            self.clients.note([sport])
            key = key._replace(port=0, peer=destination, peer_port=dport)
            lowest, highest = self.client_spans.get(key, (port, port))
            self.client_spans[key] = (min(lowest, port), max(highest, port))
        has_fin = state in inet_diag.STATES_WITH_FIN  # which counts as a byte until it is read
        self.members[key].append(Member(cookie, inode, queue > has_fin, backlog > 0))


def _decode(
    protocol: Protocol,
    device_name: DeviceName,
    automatic: Mapping[int, bool],
    data: bytes,
    start: int,
) -> Socket:
    """The socket of the message that begins at `start`."""
    row = _row(data, start, HEADER.unpack_from(data, start)[0])
    (device,) = DEVICE.unpack_from(data, start + inet_diag.AT_DEVICE)
    sock = decode_row(protocol, row, device_name(device))
    return sock._replace(automatic=automatic.get(sock.cookie))


def _row(data: bytes, start: int, length: int) -> bytes:
    """The row of the message that begins at `start`."""
    return data[start + HEADER_SIZE : start + length]
