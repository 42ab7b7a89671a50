"""Decoded rows and their options -> the owners of each port."""

from __future__ import annotations

import socket
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sockwatch.kernel.sock_diag.inet_diag import address_text
from sockwatch.kernel.sock_diag.row_decoder import GroupKey, Member, RowDecoder, connection_v6only
from sockwatch.model import UNKNOWN_FLAGS, Socket, SocketGroup, SocketOptions

NO_OPTIONS = SocketOptions(UNKNOWN_FLAGS)


@dataclass(slots=True)
class OwnerTable:
    """The owners that one dump showed, by port number.

    `sockets` are listeners and bound ones; `connections` is filled where every row was kept.
    """

    sockets: dict[int, list[Socket]] = field(default_factory=lambda: defaultdict(list))
    groups: dict[int, list[SocketGroup]] = field(default_factory=lambda: defaultdict(list))
    half_open: Counter[int] = field(default_factory=Counter)
    connections: Sequence[Socket] | None = None


def owner_table(decoder: RowDecoder, options: Mapping[int, SocketOptions]) -> OwnerTable:
    """The owners among the decoder's rows; `options` are by cookie."""
    table = OwnerTable(half_open=decoder.half_open, connections=decoder.rows)
    for sock in decoder.sockets:
        known = options.get(sock.cookie, NO_OPTIONS)
        table.sockets[sock.port].append(sock._replace(flags=known.flags))
    for key, members in decoder.members.items():
        table.groups[key.port].extend(_connection_groups(decoder, key, members, options))
    for alike, raw_port, count, first, last in decoder.minis.groups():
        address = address_text(alike.family, alike.address)
        known = alike.options or NO_OPTIONS
        table.groups[socket.ntohs(raw_port)].append(
            SocketGroup(
                family="ipv4" if alike.family == socket.AF_INET else "ipv6",
                state=decoder.state_name(alike.state),
                mini=True,
                address=address,
                device=decoder.device_name(alike.device),
                v6only=_v6only(alike.family, address, known),
                uid=None,
                count=count,
                inodes=(),
                first_frees_in_s=first / 1000,
                last_frees_in_s=last / 1000,
                flags=known.flags,
            )
        )
    return table


def _connection_groups(
    decoder: RowDecoder,
    key: GroupKey,
    members: list[Member],
    options: Mapping[int, SocketOptions],
) -> Iterator[SocketGroup]:
    """The members of a group, separated by their options."""
    alike: dict[SocketOptions, list[Member]] = defaultdict(list)
    for member in members:
        alike[options.get(member.cookie, NO_OPTIONS)].append(member)
    address = address_text(key.family, key.address)
    for known, some in alike.items():
        yield SocketGroup(
            family="ipv4" if key.family == socket.AF_INET else "ipv6",
            state=decoder.state_name(key.state),
            mini=False,
            address=address,
            device=decoder.device_name(key.device),
            v6only=_v6only(key.family, address, known),
            uid=key.uid,
            count=len(some),
            inodes=tuple(member.inode for member in some if member.inode),
            first_frees_in_s=None,
            last_frees_in_s=None,
            flags=known.flags,
        )


def _v6only(family: int, address: str, known: SocketOptions) -> bool | None:
    certain = connection_v6only(family, address)
    return known.v6only if certain is None else certain
