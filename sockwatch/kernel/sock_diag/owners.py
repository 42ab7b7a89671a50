"""Decoded rows and their options -> the owners of each port."""

from __future__ import annotations

import socket
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sockwatch.kept import Kept
from sockwatch.kernel.proc.holders import FDS_SHOWN
from sockwatch.kernel.sock_diag.client_groups import client_group
from sockwatch.kernel.sock_diag.connections import Alike, ConnectionTally
from sockwatch.kernel.sock_diag.inet_diag import address_text
from sockwatch.kernel.sock_diag.packed_sockets import MiniKey
from sockwatch.kernel.sock_diag.row_decoder import GroupKey, Member, RowDecoder
from sockwatch.kernel.sock_diag.socket_row import connection_v6only, state_name
from sockwatch.kernel.sock_diag.time_waits import Alike as MinisAlike
from sockwatch.model import (
    UNKNOWN_FLAGS,
    ClientGroup,
    Holder,
    ReuseFlags,
    Socket,
    SocketGroup,
    SocketOptions,
)

UNKNOWN_COOKIE: Final = 0  # below it are stand-ins
NO_OPTIONS: Final = SocketOptions(UNKNOWN_FLAGS)
ServersByPort: TypeAlias = Mapping[int, tuple[Socket, ...]]


@dataclass(slots=True)
class OwnerTable:
    """The owners that one dump showed, by port number.

    `sockets` are listeners and bound ones, each with its flags and holders; `clients` those of
    client ports; `connections` is filled where every row was kept.
    """

    sockets: ServersByPort = field(default_factory=dict)
    groups: dict[int, list[SocketGroup]] = field(default_factory=lambda: defaultdict(list))
    clients: list[ClientGroup] = field(default_factory=list)
    half_open: Counter[int] = field(default_factory=Counter)
    connections: Sequence[Socket] | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the sockets besides the dump.

    `options` are by cookie, `holders` by inode, and `group_holders` by the number that a
    ConnectionTally has given to a group. `minis` are the options that mini sockets have in common.
    """

    options: Mapping[int, SocketOptions] = field(default_factory=dict)
    holders: Mapping[int, tuple[Holder, ...]] = field(default_factory=dict)
    group_holders: Mapping[int, tuple[Holder, ...]] = field(default_factory=dict)
    minis: Mapping[MiniKey, SocketOptions] = field(default_factory=dict)


class KeptServers:
    """Listeners and bound sockets with their flags and holders; equal ones keep their object."""

    def __init__(self) -> None:
        self._sockets: Kept[[Socket, ReuseFlags, bool | None, tuple[Holder, ...]], Socket] = Kept(
            _completed
        )
        self._ports: Kept[
            [
                tuple[Socket, ...],
                Mapping[int, SocketOptions],
                Mapping[int, bool],
                Mapping[int, tuple[Holder, ...]],
            ],
            ServersByPort,
        ] = Kept(self._by_port)

    def __len__(self) -> int:
        return max(len(self._sockets), len(self._ports))

    def renew(self) -> None:
        """Begin a look."""
        self._sockets.renew()
        self._ports.renew()

    def of(self, decoder: RowDecoder, known: Known) -> ServersByPort:
        """Those among the decoder's rows."""
        return self._ports.of(
            decoder.protocol,
            tuple(decoder.sockets),
            known.options,
            decoder.automatic,
            known.holders,
        )

    def _by_port(
        self,
        sockets: Iterable[Socket],
        options: Mapping[int, SocketOptions],
        automatic: Mapping[int, bool],
        holders: Mapping[int, tuple[Holder, ...]],
    ) -> ServersByPort:
        found: dict[int, list[Socket]] = defaultdict(list)
        for sock in sockets:
            complete = self._sockets.of(
                sock.cookie,
                sock,
                options.get(sock.cookie, NO_OPTIONS).flags,
                automatic.get(sock.cookie),
                holders.get(sock.inode or 0, ()),
            )
            found[sock.port].append(complete)
        return {port: tuple(some) for port, some in found.items()}


def _completed(
    sock: Socket, flags: ReuseFlags, automatic: bool | None, holders: tuple[Holder, ...]
) -> Socket:
    """The socket with what its row does not tell."""
    cookie = max(sock.cookie, UNKNOWN_COOKIE)
    return sock._replace(cookie=cookie, flags=flags, automatic=automatic, holders=holders)


def owner_table(
    decoder: RowDecoder, known: Known, servers: KeptServers | None = None
) -> OwnerTable:
    """The owners among the decoder's rows; `servers` has those of an earlier table."""
    servers = KeptServers() if servers is None else servers
    table = OwnerTable(
        servers.of(decoder, known), half_open=decoder.half_open, connections=decoder.rows
    )
    if decoder.rows is not None:
        decoder.rows.attach(known.holders, known.options, known.minis)
    for key, members in decoder.members.items():
        groups = _connection_groups(decoder, key, members, known)
        if key in decoder.client_spans:
            span, peer = decoder.client_spans[key], (key.peer, socket.ntohs(key.peer_port))
            table.clients.extend(client_group(group, peer, span) for group in groups)
        else:
            table.groups[key.port].extend(groups)
    _add_minis(table, decoder)
    if decoder.tally is not None:
        _add_counted(table, decoder, decoder.tally, known)
    return table


def _add_minis(table: OwnerTable, decoder: RowDecoder) -> None:
    def minis(alike: MinisAlike, count: int, first: int, last: int) -> SocketGroup:
        group = _group(decoder, alike, alike.options or NO_OPTIONS)
        return group._replace(
            mini=True, count=count, first_frees_in_s=first / 1000, last_frees_in_s=last / 1000
        )

    for alike, raw_port, count, first, last in decoder.minis.groups():
        table.groups[socket.ntohs(raw_port)].append(minis(alike, count, first, last))
    for clients, counted in decoder.minis.client_groups().items():
        group = minis(clients.alike, counted.count, counted.first, counted.last)
        peer = (clients.peer, socket.ntohs(clients.peer_port))
        span = (counted.lowest_port, counted.highest_port)
        table.clients.append(client_group(group, peer, span))


def _add_counted(
    table: OwnerTable, decoder: RowDecoder, tally: ConnectionTally, known: Known
) -> None:
    for number, alike in tally.groups():
        group = _group(decoder, alike, NO_OPTIONS)._replace(
            uid=alike.uid,
            count=alike.count,
            with_fd=alike.with_fd,
            holders=known.group_holders.get(number, ()),
        )
        port = socket.ntohs(alike.port)
        if alike.is_client:
            span = (alike.lowest_port, alike.highest_port)
            table.clients.append(client_group(group, (alike.peer, port), span))
        else:
            table.groups[port].append(group)


def _connection_groups(
    decoder: RowDecoder, key: GroupKey, members: list[Member], known: Known
) -> Iterator[SocketGroup]:
    """The members of a group, separated by their options, and by who chose the port."""
    alike: dict[tuple[SocketOptions, bool | None], list[Member]] = defaultdict(list)
    for member in members:
        options = known.options.get(member.cookie, NO_OPTIONS)
        alike[options, decoder.automatic.get(member.cookie)].append(member)
    for (options, automatic), some in alike.items():
        group = _group(decoder, key, options)._replace(
            uid=key.uid,
            count=len(some),
            with_fd=sum(member.inode != 0 for member in some),
            holders=_held_by(some, known.holders),
            automatic=automatic,
        )
        # That of all ports would be another group with every packet.
        if decoder.rows is not None:
            group = group._replace(
                unread=sum(member.unread for member in some if member.inode),
                unacknowledged=sum(member.unacknowledged for member in some if member.inode),
            )
        yield group


def _group(
    decoder: RowDecoder, alike: GroupKey | Alike | MinisAlike, options: SocketOptions
) -> SocketGroup:
    """A group of what is alike, with nothing in it yet."""
    address = address_text(alike.family, alike.address)
    certain = connection_v6only(alike.family, address)
    return SocketGroup(
        family="ipv4" if alike.family == socket.AF_INET else "ipv6",
        state=state_name(decoder.protocol, alike.state),
        mini=False,
        address=address,
        device=decoder.device_name(alike.device),
        v6only=options.v6only if certain is None else certain,
        uid=None,
        count=0,
        with_fd=0,
        first_frees_in_s=None,
        last_frees_in_s=None,
        flags=options.flags,
    )


def _held_by(
    members: Iterable[Member], holders: Mapping[int, tuple[Holder, ...]]
) -> tuple[Holder, ...]:
    return first_holders((member.inode for member in members), holders)


def first_holders(
    inodes: Iterable[int], holders: Mapping[int, tuple[Holder, ...]]
) -> tuple[Holder, ...]:
    """Of each process that holds any of these sockets, the first FDS_SHOWN fds."""
    by_pid: dict[int, dict[Holder, None]] = defaultdict(dict)
    for inode in inodes:
        for holder in holders.get(inode, ()):
            fds = by_pid[holder.pid]
            if len(fds) < FDS_SHOWN:
                fds[holder] = None
    return tuple(holder for fds in by_pid.values() for holder in fds)
